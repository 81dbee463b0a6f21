#pragma once

#include <mutex>

#include "nn/layers.h"

namespace attendo::nn {

// (length, d_model). halves: all sines, then all cosines.
Tensor sinusoidal_table(Index length, Index d_model, DType dtype, bool halves = false);

// x (B, L, d_model) + the first L rows of a table (from `offset` on).
class PositionalEncoding : public Module {
 public:
  Tensor operator()(const Tensor& x, Index offset = 0);
  // An offset for each row; none: 0. Off the tape where they differ.
  Tensor operator()(const Tensor& x, const std::vector<Index>& offsets);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("positional encoding", inputs))}; }
  // The first `length` rows, at least.
  virtual Tensor table(Index length) const = 0;
  virtual Index max_len() const = 0;
  virtual Index d_model() const = 0;
  virtual DType dtype() const = 0;
  std::string extra_repr() const override;
};

class SinusoidalPositionalEncoding : public PositionalEncoding {
 public:
  SinusoidalPositionalEncoding(Index d_model, Index max_len, DType dtype, bool halves = false);
  std::string type_name() const override { return "SinusoidalPositionalEncoding"; }
  Tensor table(Index length) const override;
  Index max_len() const override { return max_len_; }
  Index d_model() const override { return d_model_; }
  DType dtype() const override { return dtype_; }

 private:
  Index d_model_, max_len_;
  DType dtype_;
  bool halves_;
  // Grows with the longest input seen; a function of its arguments, so not part of the state.
  mutable std::mutex mutex_;
  mutable Tensor table_;
};

class LearnedPositionalEncoding : public PositionalEncoding {
 public:
  LearnedPositionalEncoding(Index d_model, Index max_len, DType dtype);
  std::string type_name() const override { return "LearnedPositionalEncoding"; }
  Tensor table(Index) const override { return own_parameters()[0].second; }
  Index max_len() const override { return own_parameters()[0].second.dim(0); }
  Index d_model() const override { return own_parameters()[0].second.dim(1); }
  DType dtype() const override { return own_parameters()[0].second.dtype(); }
  void reset_own(Generator& generator) override;
};

}  // namespace attendo::nn

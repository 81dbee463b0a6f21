#pragma once

#include "nn/layers.h"

namespace attendo::nn {

// (length, d_model)
Tensor sinusoidal_table(Index length, Index d_model, DType dtype);

// x (B, L, d_model) + the first L rows of a table (from `offset` on).
class PositionalEncoding : public Module {
 public:
  Tensor operator()(const Tensor& x, Index offset = 0);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("positional encoding", inputs))}; }
  virtual const Tensor& table() const = 0;
  std::string extra_repr() const override;
};

class SinusoidalPositionalEncoding : public PositionalEncoding {
 public:
  SinusoidalPositionalEncoding(Index d_model, Index max_len, DType dtype);
  std::string type_name() const override { return "SinusoidalPositionalEncoding"; }
  const Tensor& table() const override { return table_; }

 private:
  Tensor table_;  // a function of its arguments: not part of the state
};

class LearnedPositionalEncoding : public PositionalEncoding {
 public:
  LearnedPositionalEncoding(Index d_model, Index max_len, DType dtype);
  std::string type_name() const override { return "LearnedPositionalEncoding"; }
  const Tensor& table() const override { return own_parameters()[0].second; }
  void reset_own(Generator& generator) override;
};

}  // namespace attendo::nn

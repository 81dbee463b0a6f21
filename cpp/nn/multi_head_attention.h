#pragma once

#include "attention/multi_head.h"
#include "nn/layers.h"

namespace attendo::nn {

class MultiHeadAttention : public Module {
 public:
  MultiHeadAttention(Index d_model, Index num_heads, double dropout, bool bias, DType dtype);

  AttentionResult operator()(const Tensor& query, const Tensor& key, const Tensor& value, AttentionOptions options,
                             bool return_weights = false);
  // New positions of a sequence, x (B, T, E), attend to themselves and the `length` before them, whose keys and values
  // are in the cache (B, capacity, 2 E); theirs join them. Off the tape.
  Tensor step(const Tensor& x, Tensor& cache, Index length) const;
  // One input attends to itself; three are query, key and value.
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "MultiHeadAttention"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

  Index num_heads() const { return num_heads_; }
  Index d_model() const { return d_model_; }
  MultiHeadWeights weights() const;

 private:
  Index d_model_, num_heads_;
  double dropout_;
  bool bias_;
  std::shared_ptr<Linear> out_proj_;
};

}  // namespace attendo::nn

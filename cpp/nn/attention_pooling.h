#pragma once

#include "nn/multi_head_attention.h"

namespace attendo::nn {

// One vector of a sequence, or several: learned queries attend to it.
class AttentionPooling : public Module {
 public:
  // num_queries 0: one query, whose axis is dropped.
  AttentionPooling(Index d_model, Index num_heads, Index num_queries, double dropout, bool bias, DType dtype);
  // x (B, S, d_model) -> out (B, num_queries, d_model) or (B, d_model), weights (B, H, num_queries, S) or (B, H, S).
  AttentionResult operator()(const Tensor& x, AttentionOptions options, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "AttentionPooling"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  Index num_heads() const { return attention_->num_heads(); }

 private:
  Index num_queries_;
  std::shared_ptr<MultiHeadAttention> attention_;
};

}  // namespace attendo::nn

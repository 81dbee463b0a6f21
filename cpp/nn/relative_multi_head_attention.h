#pragma once

#include "attention/scaled_dot_product.h"
#include "nn/layers.h"

namespace attendo::nn {

// Transformer-XL's: relative positions, and a memory of the segments before.
class RelativeMultiHeadAttention : public Module {
 public:
  RelativeMultiHeadAttention(Index d_model, Index num_heads, double dropout, bool bias, DType dtype);

  // x (B, L, E), memory (B, M, E) or undefined; options.q_offset is set to M -> out (B, L, E), weights (B, H, L, M + L)
  AttentionResult operator()(const Tensor& x, const Tensor& memory, AttentionOptions options,
                             bool return_weights = false);
  // The same of the last `length` rows of extended (B, M + L, E), with gradients to all of it.
  AttentionResult attend(const Tensor& extended, Index length, AttentionOptions options, bool return_weights);
  // One input, or x and its memory.
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "RelativeMultiHeadAttention"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

  Index num_heads() const { return num_heads_; }
  Index d_model() const { return d_model_; }

 private:
  Tensor project(const Tensor& x, Index part) const;  // 0: queries, 1: keys, 2: values -> (B, H, ·, D)
  Index d_model_, num_heads_;
  double dropout_;
  bool bias_;
  std::shared_ptr<Linear> r_proj_, out_proj_;
};

}  // namespace attendo::nn

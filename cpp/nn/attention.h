#pragma once

#include "attention/scaled_dot_product.h"
#include "nn/layers.h"

namespace attendo::nn {

// One head over features: W_Q, W_K, W_V, then fc, the names of article 000 §5.2.
class Attention : public Module {
 public:
  Attention(Index in_features, Index out_features, DType dtype);
  // x (B, N, in_features) -> out (B, N, out_features), weights (B, N, N) when asked for. A mask is (B, N, N).
  AttentionResult operator()(const Tensor& x, AttentionOptions options, bool return_weights);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Attention", inputs), {}, false).out}; }
  std::string type_name() const override { return "Attention"; }

 private:
  std::shared_ptr<Linear> w_q_, w_k_, w_v_, fc_;
};

}  // namespace attendo::nn

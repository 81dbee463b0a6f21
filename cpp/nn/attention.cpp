// One head of attention over features
//
//   Q = x W_Qᵀ + b_Q     K = x W_Kᵀ + b_K     V = x W_Vᵀ + b_V     y = softmax(Q Kᵀ / √D) V W_fcᵀ + b_fc
//
// x: (B, N, in).  Q, K, V, y: (B, N, D), D = out_features.  The gradient is that of its parts.
// The article's code multiplies Q by K without the transpose, and has one vector a sample: it attends over the batch.
//                                                                                         Article 000 §5.2, corrected.
#include "nn/attention.h"

#include "core/cost.h"
#include "ops/shape.h"

namespace attendo::nn {

Attention::Attention(Index in_features, Index out_features, DType dtype)
    : w_q_(std::make_shared<Linear>(in_features, out_features, true, dtype)),
      w_k_(std::make_shared<Linear>(in_features, out_features, true, dtype)),
      w_v_(std::make_shared<Linear>(in_features, out_features, true, dtype)),
      fc_(std::make_shared<Linear>(out_features, out_features, true, dtype)) {
  register_module("W_Q", w_q_);
  register_module("W_K", w_k_);
  register_module("W_V", w_v_);
  register_module("fc", fc_);
}

AttentionResult Attention::operator()(const Tensor& x, AttentionOptions options, bool return_weights) {
  CostScope scope(this);
  check_float("Attention", "x", x);
  check_rank("Attention", "x", x, 3, "(batch, length, features)");
  if (options.mask && options.mask.rank() == 3) {
    options.mask = reshape(options.mask, {options.mask.dim(0), 1, options.mask.dim(1), options.mask.dim(2)});
  }
  const Tensor q = (*w_q_)(x), k = (*w_k_)(x), v = (*w_v_)(x);  // (B, N, out_features)
  AttentionResult result = attend_heads({q, 0}, {k, 0}, {v, 0}, {1, 1, q.dim(2), v.dim(2)}, options, return_weights);
  result.out = (*fc_)(result.out);
  if (return_weights) result.weights = reshape(result.weights, {x.dim(0), x.dim(1), x.dim(1)});
  scope.gives(result.out);
  return result;
}

}  // namespace attendo::nn

#pragma once

#include <functional>
#include <string>

#include "attention/qk_norm.h"
#include "attention/scaled_dot_product.h"

namespace attendo {

// (q block (…, H, l, Dq), k block (…, H, s, Dk)) -> scores (…, H, l, s)
using ScoreFunction = std::function<Tensor(const Tensor& q, const Tensor& k)>;

// How well a query and a key match.
struct Score {
  enum Kind { kDot, kScaledDot, kGeneral, kAdditive, kCosine, kKernel, kFunction };
  Kind kind = kScaledDot;
  // general: W; additive: W_q, W_k, v_a and perhaps b, or v_a alone (no projections); kernel: the bandwidth
  Tensors params;
  ScoreFunction function;  // kFunction
  QkNormOptions norm;
  Tensor scale;  // a trained factor of the scores, () or (H, 1, 1); in place of AttentionOptions::scale
};

// The kind of that name; the error lists them.
Score::Kind score_kind(const std::string& name);

// Attention with other scores. q (…, H, L, Dq), k (…, Hkv, S, Dk), v (…, Hkv, S, Dv) -> out (…, H, L, Dv), weights
AttentionResult attend_with_score(const Tensor& q, const Tensor& k, const Tensor& v, const Score& score,
                                  AttentionOptions options, bool return_weights);

// The same for one head without an axis of its own: q (…, L, Dq), k (…, S, Dk), v (…, S, Dv) -> out (…, L, Dv),
// weights (…, L, S). A mask or bias of as many axes as q is (…, L, S).
AttentionResult attend_one_head(const Tensor& q, const Tensor& k, const Tensor& v, const Score& score,
                                AttentionOptions options, bool return_weights);

}  // namespace attendo

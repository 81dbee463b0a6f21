#pragma once

#include "core/autograd.h"
#include "kernels/pair_scores.h"

namespace attendo {

using kernels::PairScore;

// q (…, H, L, A), k (…, Hkv, S, A), w (A,) or (H, A) -> scores (…, H, L, S)
Tensor pair_scores(PairScore kind, const Tensor& q, const Tensor& k, const Tensor& w);

// x (…, H, N, in), weight (out, in) or (H, out, in), bias (out,), (H, out) or undefined -> (…, H, N, out). A row whose gradient
// is 0 adds nothing to that of the weight, whatever it holds: a NaN behind a mask stays there.
Tensor project_rows(const Tensor& x, const Tensor& weight, const Tensor& bias);

struct AdditiveWeights {
  Tensor w_q;  // (A, Dq) or (H, A, Dq); without it q and k are (…, A) as they are
  Tensor w_k;  // (A, Dk) or (Hkv, A, Dk)
  Tensor v_a;  // (A,) or (H, A)
  Tensor b;    // (A,) or (H, A) or undefined
};
// Checks the shapes against q (…, H, L, Dq) and k (…, Hkv, S, Dk).
void check_additive(const Tensor& q, const Tensor& k, const AdditiveWeights& w);

}  // namespace attendo

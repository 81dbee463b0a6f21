#pragma once

#include <utility>

#include "attention/scaled_dot_product.h"

namespace attendo {

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), basis_q and basis_k (D, r) or (Hkv, D, r) -> as attention.
// basis_k undefined: basis_q.
AttentionResult low_rank(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& basis_q,
                         const Tensor& basis_k, AttentionOptions options, bool return_weights);

// q (…, H, L, D), k (…, Hkv, S, D) -> A, B (Hkv, D, r), or (D, r) without heads; off the tape.
std::pair<Tensor, Tensor> low_rank_basis(const Tensor& q, const Tensor& k, Index rank);

}  // namespace attendo

// Cosine scores
//
//   s_ij = q_i·k_j / (‖q_i‖ ‖k_j‖ τ),  1/τ = scale      a row of zeros scores 0
//
//   backward   that of dot-product scores, then of the normalisation: see qk_norm.cpp
//
// q: (…, H, L, D).  k: (…, Hkv, S, D).  No ε: rows are measured by their largest entry, so that none is too short.
//                                                                                            Graves et al. 2014, eq. 6.
#include "attention/cosine.h"

#include "attention/qk_norm.h"

namespace attendo {

std::pair<Tensor, Tensor> cosine_rows(const Tensor& q, const Tensor& k) { return {l2_normalize(q), l2_normalize(k)}; }

}  // namespace attendo

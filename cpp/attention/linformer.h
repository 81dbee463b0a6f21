#pragma once

#include <optional>

#include "attention/scaled_dot_product.h"

namespace attendo {

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), proj_k and proj_v (r, S) or (Hkv, r, S)
// -> out (…, H, L, Dv), weights (…, H, L, r). proj_v undefined: proj_k. key_lengths (batch,) or undefined.
AttentionResult linformer(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& proj_k, const Tensor& proj_v,
                          const Tensor& key_lengths, const std::optional<double>& scale, bool return_weights);

// A projection (r, S) to begin with: normal with variance 1/r, or means of r neighbouring stretches of the S positions.
Tensor linformer_normal_projection(Index r, Index keys, std::uint64_t seed, DType dtype);
Tensor linformer_mean_projection(Index r, Index keys, DType dtype);

}  // namespace attendo

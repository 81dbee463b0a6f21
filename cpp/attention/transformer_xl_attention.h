#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), r (H, R, D), content_bias and position_bias (H, D); without heads r
// (R, D) and biases (D,) -> out (…, H, L, Dv), weights (…, H, L, S). Row 0 of r is that of the first key seen from the last
// query: distance q_offset + L - 1; R is q_offset + L (no key after its query matters) or L + S - 1.
AttentionResult transformer_xl_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& r,
                                         const Tensor& content_bias, const Tensor& position_bias,
                                         AttentionOptions options, bool return_weights);

// (count, d_model): the encodings of the distances first, first - 1, …
Tensor relative_sinusoid(Index first, Index count, Index d_model, DType dtype);

}  // namespace attendo

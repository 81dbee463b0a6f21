#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// q, k (…, L, D), v (…, L, Dv), w (D,) or undefined -> out (…, Dv), weights (…, L). Of the options the mask (…, L), lengths
// (one a sequence), scale (1 unless given) and dropout count.
AttentionResult pooled(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& w, AttentionOptions options,
                       bool return_weights);

}  // namespace attendo

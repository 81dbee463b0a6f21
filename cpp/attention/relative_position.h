#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), key_table (2c + 1, D) or (H, 2c + 1, D), value_table (2c + 1, Dv) or
// (H, 2c + 1, Dv) or undefined -> out (…, H, L, Dv), weights (…, H, L, S). Query i stands at i + options.q_offset.
AttentionResult relative_position(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_table,
                                  const Tensor& value_table, AttentionOptions options, bool return_weights);

}  // namespace attendo

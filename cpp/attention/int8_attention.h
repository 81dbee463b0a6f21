#pragma once

#include <optional>

#include "attention/scaled_dot_product.h"

namespace attendo {

struct Int8Options {
  std::optional<double> scale;  // 1/√d when absent
  bool causal = false;
  Index q_offset = 0;
  Tensor key_lengths;  // int64 (batch,): keys from there on are padding
};

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv) -> out (…, H, L, Dv)
Tensor int8_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Int8Options& options);

}  // namespace attendo

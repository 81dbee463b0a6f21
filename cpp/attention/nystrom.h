#pragma once

#include <optional>

#include "attention/scaled_dot_product.h"

namespace attendo {

struct NystromOptions {
  Index landmarks = 64;
  Index iterations = 6;         // of the pseudo-inverse
  std::optional<double> scale;  // 1/√d when absent
  Tensor key_lengths;           // int64 (batch,): keys from there on are padding
  Tensor q_lengths;             // int64 (batch,): queries from there on are padding, and give zeros
};

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv) -> out (…, H, L, Dv)
Tensor nystrom(const Tensor& q, const Tensor& k, const Tensor& v, const NystromOptions& options);

}  // namespace attendo

#pragma once

#include <optional>

#include "attention/scaled_dot_product.h"

namespace attendo {

struct TopKOptions {
  Index keep = 1;               // weights of a row
  std::optional<double> scale;  // 1/√d when absent
  bool causal = false;
  Index q_offset = 0;
  Tensor key_lengths;  // int64 (batch,): keys from there on are padding
};

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv) -> out (…, H, L, Dv), weights (…, H, L, S)
AttentionResult top_k_attention(const Tensor& q, const Tensor& k, const Tensor& v, const TopKOptions& options,
                                bool return_weights);

}  // namespace attendo

#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

struct AttentionStats {
  Tensor entropy, maximum, lse;  // (…, H, L)
  Tensor top_keys, top_weights;  // (…, H, L, min(top_k, S)), int64 and float
};

// q (…, H, L, D), k (…, Hkv, S, D). Off the tape; without dropout.
AttentionStats attention_stats(const Tensor& q, const Tensor& k, const AttentionOptions& options, Index top_k);

// The weights of some rows only, to the bit those of scaled_dot_product: (…, H, rows, S). A row counts from the end where it
// is negative, and may be asked for twice.
Tensor attention_row_weights(const Tensor& q, const Tensor& k, const std::vector<Index>& rows,
                             const AttentionOptions& options);

}  // namespace attendo

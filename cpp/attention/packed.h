#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// q (H, total L, D), k (Hkv, total S, D), v (Hkv, total S, Dv) -> (H, total L, Dv); or all three without the axis of heads.
// offsets, k_offsets: int64 (B + 1,), from 0 to the total; k_offsets undefined: those of q. Of the options: scale, causal,
// q_offset or q_offsets (has_q_offset: one was given), dropout and generator.
Tensor attention_packed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                        const Tensor& k_offsets, const AttentionOptions& options, bool has_q_offset);

}  // namespace attendo

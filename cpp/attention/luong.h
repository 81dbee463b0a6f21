#pragma once

#include "attention/scored.h"

namespace attendo {

// query (…, L, D), memory (…, S, Ds), w_c (out, Ds + D) -> out (…, L, out), weights (…, L, S)
AttentionResult luong(const Tensor& query, const Tensor& memory, const Tensor& w_c, const Score& score,
                      const AttentionOptions& options, bool return_weights);

}  // namespace attendo

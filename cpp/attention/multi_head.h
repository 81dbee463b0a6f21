#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// The three input projections lie one below the other in one weight, as in PyTorch.
struct MultiHeadWeights {
  Tensor in_weight;   // (3 E, E): W_q, W_k, W_v
  Tensor in_bias;     // (3 E,) or undefined
  Tensor out_weight;  // (E, E)
  Tensor out_bias;    // (E,) or undefined
};

// query (B, L, E), key and value (B, S, E) -> out (B, L, E), weights (B, H, L, S)
AttentionResult multi_head(const Tensor& query, const Tensor& key, const Tensor& value, const MultiHeadWeights& w,
                           Index num_heads, const AttentionOptions& options, bool return_weights);

}  // namespace attendo

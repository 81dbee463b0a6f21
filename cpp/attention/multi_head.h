#pragma once

#include "attention/rotary.h"
#include "attention/scaled_dot_product.h"

namespace attendo {

// As in PyTorch, the three input projections lie one below the other in one weight; where keys or values are of another
// width than the queries there is one weight each.
struct MultiHeadWeights {
  Tensor in_weight;           // (H D + Hkv D + Hkv Dv, E): W_q, W_k, W_v; undefined where there are three
  Tensor q_weight;            // (H D, E)
  Tensor k_weight, v_weight;  // (Hkv D, Ek), (Hkv Dv, Ev)
  Tensor in_bias;             // (H D + Hkv D + Hkv Dv,) or undefined
  Tensor out_weight;          // (E, H Dv)
  Tensor out_bias;            // (E,) or undefined
};

// What happens to the heads of queries and keys before they meet.
struct HeadTransforms {
  Tensor q_norm, k_norm;  // (D,): weights of the RMS norm of every head, or undefined
  double norm_eps = 1e-6;
  std::optional<RotaryOptions> q_rotary, k_rotary;  // both or neither
  bool any() const { return q_norm.defined() || q_rotary.has_value(); }
};

// The heads' queries (B, L, H D), keys (B, S, Hkv D) and values (B, S, Hkv Dv), as columns of what is projected together.
struct ProjectedHeads {
  HeadColumns q, k, v;
};
ProjectedHeads project_heads(const Tensor& query, const Tensor& key, const Tensor& value, const MultiHeadWeights& w,
                             const HeadShape& shape, const HeadTransforms& transforms);

// query (B, L, E), key (B, S, Ek), value (B, S, Ev) -> out (B, L, E), weights (B, H, L, S)
AttentionResult multi_head(const Tensor& query, const Tensor& key, const Tensor& value, const MultiHeadWeights& w,
                           const HeadShape& shape, const AttentionOptions& options, bool return_weights,
                           const HeadTransforms& transforms = {}, const PrefixRows& prefix = {});

}  // namespace attendo

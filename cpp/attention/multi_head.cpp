// Multi-head attention
//
//   Q = x_q W_qᵀ + b_q      K = x_k W_kᵀ + b_k      V = x_v W_vᵀ + b_v
//   head_h = attention(Q_h, K_h, V_h)               Q_h: columns h·D … (h+1)·D,  D = E / H
//   out = [head_1 … head_H] W_oᵀ + b_o
//
// x_q: (B, L, E).  x_k, x_v: (B, S, E).  W: (E, E).  The gradient is that of its parts.
// Where the inputs are one tensor its projections are one product, and no head is ever moved: attention reads it in place.
//                                                                           Vaswani et al. 2017, §3.2.2; article 003 §4.3.
#include "attention/multi_head.h"

#include "ops/linear.h"

namespace attendo {
namespace {

// Rows [first, last) · E of the stacked projections, applied to x.
Tensor project(const Tensor& x, const MultiHeadWeights& w, Index first, Index last) {
  const Index e = w.in_weight.dim(1);
  if (first == 0 && last == 3) return linear(x, w.in_weight, w.in_bias);
  return linear(x, w.in_weight.rows(first * e, last * e), w.in_bias ? w.in_bias.rows(first * e, last * e) : Tensor());
}

void check_input(const char* name, const Tensor& x, const Tensor& query, const Tensor& weight) {
  const Index e = weight.dim(1);
  check_float("MultiHeadAttention", name, x);
  if (x.dtype() != weight.dtype()) {
    type_error("MultiHeadAttention: ", name, " has dtype ", dtype_name(x.dtype()), " but the layer is ",
               dtype_name(weight.dtype()));
  }
  check_rank("MultiHeadAttention", name, x, 3, "(batch, length, d_model)");
  if (x.dim(2) != e) value_error("MultiHeadAttention: ", name, " has ", x.dim(2), " features but d_model is ", e);
  if (x.dim(0) != query.dim(0)) {
    value_error("MultiHeadAttention: ", name, " has a batch of ", x.dim(0), " but query has one of ", query.dim(0));
  }
}

}  // namespace

AttentionResult multi_head(const Tensor& query, const Tensor& key, const Tensor& value, const MultiHeadWeights& w,
                           Index num_heads, const AttentionOptions& options, bool return_weights) {
  const Index e = w.in_weight.dim(1);
  check_input("query", query, query, w.in_weight);
  check_input("key", key, query, w.in_weight);
  check_input("value", value, query, w.in_weight);
  if (key.dim(1) != value.dim(1)) {
    value_error("MultiHeadAttention: value has ", value.dim(1), " positions but key has ", key.dim(1));
  }
  HeadColumns q, k, v;
  if (query.same_as(key) && key.same_as(value)) {
    const Tensor qkv = project(query, w, 0, 3);  // (B, L, 3 E)
    q = {qkv, 0}, k = {qkv, e}, v = {qkv, 2 * e};
  } else if (key.same_as(value)) {
    const Tensor kv = project(key, w, 1, 3);  // (B, S, 2 E)
    q = {project(query, w, 0, 1), 0}, k = {kv, 0}, v = {kv, e};
  } else {
    q = {project(query, w, 0, 1), 0}, k = {project(key, w, 1, 2), 0}, v = {project(value, w, 2, 3), 0};
  }
  AttentionResult result = attend_heads(q, k, v, num_heads, e / num_heads, options, return_weights);
  result.out = linear(result.out, w.out_weight, w.out_bias);
  return result;
}

}  // namespace attendo

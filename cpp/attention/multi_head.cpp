// Multi-head attention
//
//   Q = x_q W_qᵀ + b_q      K = x_k W_kᵀ + b_k      V = x_v W_vᵀ + b_v
//   head_h = attention(Q_h, K_g, V_g)               Q_h: columns h·D … (h+1)·D,  g = h / (H / Hkv)
//   out = [head_1 … head_H] W_oᵀ + b_o
//
// x_q: (B, L, E).  x_k: (B, S, Ek).  x_v: (B, S, Ev).  W_q: (H D, E).  W_k: (Hkv D, Ek).  W_v: (Hkv Dv, Ev).  W_o: (E, H Dv).
// Between projection and attention a model may normalise the heads of Q and K (Qwen 3) and turn them by their positions.
// Hkv = H is the paper's, Hkv < H grouped-query and Hkv = 1 multi-query attention. The gradient is that of its parts.
// Where the inputs are one tensor its projections are one product, and no head is ever moved: attention reads it in place.
//                    Vaswani et al. 2017, §3.2.2; Shazeer 2019 (multi-query); Ainslie et al. 2023 (grouped); article 003 §4.3.
#include "attention/multi_head.h"

#include "ops/linear.h"
#include "ops/rms_norm.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr const char* kOp = "MultiHeadAttention";

void check_input(const char* name, const Tensor& x, Index features, const Tensor& query, const Tensor& weight) {
  check_float(kOp, name, x);
  if (x.dtype() != float_dtype(weight)) {
    type_error(kOp, ": ", name, " has dtype ", dtype_name(x.dtype()), " but the layer is ",
               dtype_name(float_dtype(weight)));
  }
  check_rank(kOp, name, x, 3, "(batch, length, features)");
  if (x.dim(2) != features) value_error(kOp, ": ", name, " has ", x.dim(2), " features but must have ", features);
  if (x.dim(0) != query.dim(0)) {
    value_error(kOp, ": ", name, " has a batch of ", x.dim(0), " but query has one of ", query.dim(0));
  }
}

// Heads (B, N, H·D), each normalised by itself.
Tensor normalized_heads(const Tensor& x, const Tensor& weight, double eps) {
  const Index d = weight.dim(0);
  const Tensor heads = reshape(x, {x.dim(0), x.dim(1), x.dim(2) / d, d});
  return reshape(rms_norm(heads, weight, eps), x.shape());
}

}  // namespace

ProjectedHeads project_heads(const Tensor& query, const Tensor& key, const Tensor& value, const MultiHeadWeights& w,
                             const HeadShape& shape, const HeadTransforms& transforms) {
  const bool stacked = w.in_weight.defined();
  const Tensor& first = stacked ? w.in_weight : w.q_weight;
  check_input("query", query, first.dim(1), query, first);
  check_input("key", key, stacked ? first.dim(1) : w.k_weight.dim(1), query, first);
  check_input("value", value, stacked ? first.dim(1) : w.v_weight.dim(1), query, first);
  if (key.dim(1) != value.dim(1)) {
    value_error(kOp, ": value has ", value.dim(1), " positions but key has ", key.dim(1));
  }
  const Index q_end = shape.heads * shape.head_dim, k_end = q_end + shape.kv_heads * shape.head_dim;
  const Index v_end = k_end + shape.kv_heads * shape.value_dim;
  auto bias = [&](Index begin, Index end) { return w.in_bias ? w.in_bias.rows(begin, end) : Tensor(); };
  // Rows [begin, end) of the stacked projections, applied to x.
  auto project = [&](const Tensor& x, Index begin, Index end) {
    if (begin == 0 && end == v_end) return linear(x, w.in_weight, w.in_bias);
    return linear(x, w.in_weight.rows(begin, end), bias(begin, end));
  };
  ProjectedHeads p;
  if (!stacked) {
    p.q = {linear(query, w.q_weight, bias(0, q_end)), 0};
    p.k = {linear(key, w.k_weight, bias(q_end, k_end)), 0};
    p.v = {linear(value, w.v_weight, bias(k_end, v_end)), 0};
  } else if (transforms.any()) {  // which take queries and keys apart
    p.q = {project(query, 0, q_end), 0}, p.k = {project(key, q_end, k_end), 0}, p.v = {project(value, k_end, v_end), 0};
  } else if (query.same_as(key) && key.same_as(value)) {
    const Tensor qkv = project(query, 0, v_end);
    p.q = {qkv, 0}, p.k = {qkv, q_end}, p.v = {qkv, k_end};
  } else if (key.same_as(value)) {
    const Tensor kv = project(key, q_end, v_end);
    p.q = {project(query, 0, q_end), 0}, p.k = {kv, 0}, p.v = {kv, k_end - q_end};
  } else {
    p.q = {project(query, 0, q_end), 0}, p.k = {project(key, q_end, k_end), 0}, p.v = {project(value, k_end, v_end), 0};
  }
  if (transforms.q_norm) {
    p.q.source = normalized_heads(p.q.source, transforms.q_norm, transforms.norm_eps);
    p.k.source = normalized_heads(p.k.source, transforms.k_norm, transforms.norm_eps);
  }
  if (transforms.q_rotary) {
    p.q.source = rotary_heads(p.q.source, shape.head_dim, *transforms.q_rotary);
    p.k.source = rotary_heads(p.k.source, shape.head_dim, *transforms.k_rotary);
  }
  return p;
}

AttentionResult multi_head(const Tensor& query, const Tensor& key, const Tensor& value, const MultiHeadWeights& w,
                           const HeadShape& shape, const AttentionOptions& options, bool return_weights,
                           const HeadTransforms& transforms, const PrefixRows& prefix) {
  const ProjectedHeads p = project_heads(query, key, value, w, shape, transforms);
  AttentionResult result = attend_heads(p.q, p.k, p.v, shape, options, return_weights, prefix);
  result.out = linear(result.out, w.out_weight, w.out_bias);
  return result;
}

}  // namespace attendo

// Scaled dot-product attention
//
//   s_ij = f(scale q_i·k_j) + b_ij   P_i = softmax over the allowed j of s_ij      o_i = Σ_j P_ij v_j
//
//   f: the soft-cap c tanh(s / c), then the score program (score_program.h), where asked for; else the identity.
//   A sink z_h is one more score in the denominator: P_ij = exp(s_ij) / (exp(z_h) + Σ_j exp(s_ij)).
//
//   backward   D_i = Σ_c do_ic o_ic (+ Σ_j dP_ij P_ij where the weights themselves were used)
//              dv_j = Σ_i P_ij do_i        dS_ij = P_ij (do_i·v_j + dP_ij - D_i)
//              dq_i = scale Σ_j dS_ij f' k_j  dk_j = scale Σ_i dS_ij f' q_i   db_ij = dS_ij
//              dz_h = -Σ_i D_i exp(z_h) / (exp(z_h) + Σ_j exp(s_ij))
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  Head h reads kv head h / (H / Hkv).
// Kept: o, and of each row its largest score and the sum of exponentials.
// A query that may attend to nothing gives zeros and zero gradients.   Vaswani et al. 2017, eq. 1; Dao et al. 2022.
#include "attention/scaled_dot_product.h"

#include "attention/drivers.h"
#include "attention/expanded.h"
#include "attention/kv_prefix.h"
#include "core/grad.h"
#include "ops/arithmetic.h"

namespace attendo {

using namespace blocked;

namespace {

// Runs the problem; `shared` says that q, k and v may be parts of one tensor, whose gradient is then one as well.
AttentionResult attend(const Problem& p, const Shape& out_shape, bool return_weights, bool shared,
                       const KVPrefix& prefix = {}) {
  AttentionResult result;
  const DType dtype = p.q.dtype();
  result.out = Tensor::empty(out_shape, dtype);
  const Tensor rows = Tensor::empty({2, p.batch * p.heads * p.length}, dtype);
  if (return_weights) result.weights = Tensor::empty(p.weights_shape, dtype);
  dispatch_float("attention", "q", p.q, [&](auto zero) {
    using T = decltype(zero);
    T* weights = return_weights ? result.weights.data<T>() : nullptr;
    attention_forward<T>(result.out.data<T>(), rows, weights, p);
    if (prefix) prefix.join<T>(result.out.data<T>(), rows, weights, p);
  });
  Tensors inputs{p.q, p.k, p.v, p.bias, p.sinks};
  if (prefix) inputs.insert(inputs.end(), {prefix.k(), prefix.v()});
  if (p.scores) inputs.insert(inputs.end(), p.scores->trained().begin(), p.scores->trained().end());
  if (!needs_grad(inputs)) return result;
  Tensors outputs{result.out};
  if (return_weights) outputs.push_back(result.weights);
  record(p.scores ? "attention with score_mod"
         : prefix ? "attention with a prefix"
                  : "attention",
         std::move(inputs), outputs, prefix ? Twice::kNo : p.twice,
         [p, shared, rows, prefix, out = result.out.detach(),
          weights = return_weights ? result.weights.detach() : Tensor()](const Tensors& d) {
           if (grad_enabled()) {
             return accumulate_through({p.q, p.k, p.v, p.bias, p.sinks}, d,
                                       [&](const Tensors& now) { return expanded(p, shared, now); });
           }
           const Tensor d_out = d[0] ? d[0] : Tensor::zeros(out.shape(), out.dtype());
           const Tensor d_weights = d.size() > 1 ? d[1] : Tensor();
           const Tensor d_q = Tensor::empty(p.q.shape(), p.q.dtype());
           const Tensor d_k = shared && p.k.same_as(p.q) ? d_q : Tensor::empty(p.k.shape(), p.k.dtype());
           const Tensor d_v = shared && p.v.same_as(p.q)   ? d_q
                              : shared && p.v.same_as(p.k) ? d_k
                                                           : Tensor::empty(p.v.shape(), p.v.dtype());
           Tensor d_bias;
           if (p.bias && p.bias.requires_grad()) d_bias = Tensor::zeros(p.weights_shape, p.q.dtype());
           Tensor d_sinks;
           if (p.sinks && p.sinks.requires_grad()) d_sinks = Tensor::zeros(p.sinks.shape(), p.q.dtype());
           Tensors d_tables;
           if (p.scores) {
             for (const Tensor& x : p.scores->trained()) d_tables.push_back(Tensor::zeros(x.shape(), p.q.dtype()));
           }
           dispatch_float("attention", "q", p.q, [&](auto zero) {
             using T = decltype(zero);
             Gradients<T> g{d_q.data<T>(),
                            d_k.data<T>(),
                            d_v.data<T>(),
                            d_bias ? d_bias.data<T>() : nullptr,
                            d_out.data<T>(),
                            out.data<T>(),
                            rows,
                            d_weights ? weights.data<T>() : nullptr,
                            d_weights ? d_weights.data<T>() : nullptr,
                            d_sinks ? d_sinks.data<T>() : nullptr,
                            d_tables};
             if (prefix) {
               prefix.backward<T>(g, p, d_q);
             } else {
               attention_backward<T>(g, p);
             }
           });
           accumulate(p.q, d_q);
           if (!d_k.same_as(d_q)) accumulate(p.k, d_k);
           if (!d_v.same_as(d_q) && !d_v.same_as(d_k)) accumulate(p.v, d_v);
           if (d_bias) accumulate(p.bias, sum_to_shape(d_bias, p.bias.shape()));
           if (d_sinks) accumulate(p.sinks, d_sinks);
           for (size_t n = 0; n < d_tables.size(); ++n) accumulate(p.scores->trained()[n], d_tables[n]);
         });
  return result;
}

}  // namespace

AttentionResult scaled_dot_product(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                                   bool return_weights) {
  const Problem p = dense_problem(q, k, v, options);
  Shape out_shape = q.shape();
  out_shape[-1] = p.d_v;
  return attend(p, out_shape, return_weights, false);
}

AttentionResult attend_heads(const HeadColumns& q, const HeadColumns& k, const HeadColumns& v, const HeadShape& shape,
                             const AttentionOptions& options, bool return_weights, const PrefixRows& prefix) {
  Problem p;
  p.q = q.source, p.k = k.source, p.v = v.source;
  p.batch = p.q.dim(0), p.heads = shape.heads, p.kv_heads = shape.kv_heads;
  p.length = p.q.dim(1), p.keys = p.k.dim(1), p.d = shape.head_dim, p.d_v = shape.value_dim;
  auto layout = [](const HeadColumns& x, Index head_dim) {
    return Layout{x.at, x.source.dim(1) * x.source.dim(2), head_dim, x.source.dim(2)};
  };
  p.q_layout = layout(q, p.d), p.k_layout = layout(k, p.d), p.v_layout = layout(v, p.d_v);
  const Index width = p.heads * p.d_v;
  p.out_layout = {0, p.length * width, p.d_v, width};
  p.weights_shape = {p.batch, p.heads, p.length, p.keys};
  apply_options(p, options, p.heads);
  return attend(p, {p.batch, p.length, width}, return_weights, true, KVPrefix(p, options, prefix));
}

void attend_rows(const HeadRows& q, const HeadRows& k, const HeadRows& v, const HeadRows& out,
                 const AttentionSizes& sizes, const Shape& weights_shape, const AttentionOptions& options,
                 const PrefixRows& prefix) {
  auto layout = [](const HeadRows& x) { return Layout{x.at, x.batch, x.head, x.row}; };
  Problem p;
  p.batch = sizes.batch, p.heads = sizes.heads, p.kv_heads = sizes.kv_heads;
  p.length = sizes.length, p.keys = sizes.keys, p.d = sizes.d, p.d_v = sizes.d_v;
  p.q = q.source, p.k = k.source, p.v = v.source;
  p.q_layout = layout(q), p.k_layout = layout(k), p.v_layout = layout(v), p.out_layout = layout(out);
  p.weights_shape = weights_shape;
  apply_options(p, options, p.heads);
  dispatch_float("attention", "q", p.q, [&](auto zero) {
    using T = decltype(zero);
    const Tensor rows = Tensor::empty({2, p.batch * p.heads * p.length}, p.q.dtype());
    attention_forward<T>(out.source.data<T>() + out.at, rows, nullptr, p);
    if (const KVPrefix both(p, options, prefix); both) both.join<T>(out.source.data<T>() + out.at, rows, nullptr, p);
  });
}

template <typename T>
void for_score_blocks(const Tensor& q, const Tensor& k, const AttentionOptions& options, const ScorePass<T>& pass) {
  const Problem p = dense_problem(q, k, k, options);
  std::uint64_t out_of_bounds = 0;
  for_query_blocks<T>(p, 0, [&](Index b, Index h, Index begin, Index end, T*, T* registers) {
    kernels::AttentionHead<T> head = head_of<T>(p, b, h, registers);
    head.d_v = 0;
    head.out_of_bounds = &out_of_bounds;
    pass(head, b * p.heads + h, begin, end);
  });
  if (out_of_bounds != 0) p.scores->out_of_bounds(out_of_bounds);
}
template void for_score_blocks<float>(const Tensor&, const Tensor&, const AttentionOptions&, const ScorePass<float>&);
template void for_score_blocks<double>(const Tensor&, const Tensor&, const AttentionOptions&, const ScorePass<double>&);

}  // namespace attendo

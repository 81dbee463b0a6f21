// Attention to a prefix
//
//   over the prefix alone      m_i = max_p s_ip      l_i = Σ_p exp(s_ip - m_i)      o_i = Σ_p exp(s_ip - m_i) v_p / l_i
//   over the keys alone        m'_i, l'_i, o'_i in the same way, with their masks, biases and sinks
//   together   M_i = max(m_i, m'_i)      λ_i = l_i exp(m_i - M_i)      λ'_i = l'_i exp(m'_i - M_i)
//              out_i = (λ_i o_i + λ'_i o'_i) / (λ_i + λ'_i)      P'_ij λ'_i / (λ_i + λ'_i): weights of the keys
//
// which is attention over [prefix; keys], every query seeing all of the prefix. Positions, masks and caches never learn of it.
// backward: that of attention for each of the two, with the statistics M, λ + λ' and D_i = Σ_c do_ic out_ic of both together.
//
// s: (B, H, L, P).  prefix k: (P, Hkv D).  v: (P, Hkv Dv).  A row without a key attends to the prefix alone.
//                                          Li and Liang 2021, §4; the two parts: He et al. 2022, eq. 7; Dao et al. 2022, §3.1.
#include "attention/kv_prefix.h"

#include "ops/arithmetic.h"

namespace attendo::blocked {

KVPrefix::KVPrefix(const Problem& p, const AttentionOptions& options, const PrefixRows& rows) {
  const Tensor& k = rows.k;
  const Tensor& v = rows.v;
  if (!k) return;
  for (const auto& [name, x, width] :
       {std::tuple{"prefix_k", &k, p.kv_heads * p.d}, std::tuple{"prefix_v", &v, p.kv_heads * p.d_v}}) {
    check_float("attention", name, *x);
    check_same_dtype("attention", name, *x, "q", p.q);
    check_shape("attention", name, *x, {k.dim(0), width});
  }
  // Gradients are written for each batch entry by itself; their sum is that of broadcast_to.
  const bool tracked = needs_grad({&p.q, &p.k, &p.v, &k, &v});
  const Index length = k.dim(0), batch = tracked ? p.batch : 1;
  Problem& a = problem_;
  a.batch = p.batch, a.heads = p.heads, a.kv_heads = p.kv_heads;
  a.length = p.length, a.keys = length, a.d = p.d, a.d_v = p.d_v;
  a.q = p.q, a.q_layout = p.q_layout;
  a.k = tracked ? broadcast_to(k, {batch, length, k.dim(1)}) : k;
  a.v = tracked ? broadcast_to(v, {batch, length, v.dim(1)}) : v;
  a.k_layout = {0, tracked ? length * k.dim(1) : 0, p.d, k.dim(1)};
  a.v_layout = {0, tracked ? length * v.dim(1) : 0, p.d_v, v.dim(1)};
  const Index width = p.heads * p.d_v;
  a.out_layout = {0, p.length * width, p.d_v, width};
  a.weights_shape = {p.batch, p.heads, p.length, length};
  AttentionOptions own;
  own.scale = p.scale, own.softcap = options.softcap;
  own.dropout = options.dropout, own.generator = options.generator;
  apply_options(a, own, p.heads);
}

template <typename T>
void KVPrefix::join(T* out, const RowStatistics<T>& rows, T* weights, const Problem& p) const {
  const Problem& a = problem_;
  if (a.keys == 0) return;
  const Tensor own = Tensor::empty({p.batch, p.length, p.heads * p.d_v}, p.q.dtype());
  const Tensor own_rows = Tensor::empty({2, p.batch * p.heads * p.length}, p.q.dtype());
  const RowStatistics<T> first(own_rows);
  attention_forward<T>(own.data<T>(), first, nullptr, a);
  const Index n = p.batch * p.heads * p.length;
  parallel_ranges(n, rows_per_task(p.d_v + (weights ? p.keys : 0)), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index bh = row / p.length, i = row % p.length, b = bh / p.heads, h = bh % p.heads;
      const T most = std::max(first.max[row], rows.max[row]);
      const T share = std::exp2(first.max[row] - most) / first.inverse[row];
      const T rest = rows.inverse[row] == T(0) ? T(0) : std::exp2(rows.max[row] - most) / rows.inverse[row];
      const T inverse = T(1) / (share + rest);
      rows.max[row] = most, rows.inverse[row] = inverse;
      const T factor = share * inverse, factor_keys = rest * inverse;
      const T* from = own.data<T>() + b * a.out_layout.batch + h * a.out_layout.head + i * a.out_layout.row;
      T* to = out + b * p.out_layout.batch + h * p.out_layout.head + i * p.out_layout.row;
      for (Index c = 0; c < p.d_v; ++c) to[c] = factor * from[c] + factor_keys * to[c];
      if (weights == nullptr) continue;
      for (Index j = 0; j < p.keys; ++j) weights[row * p.keys + j] *= factor_keys;
    }
  });
}

template <typename T>
void KVPrefix::backward(Gradients<T> g, const Problem& p, const Tensor& d_q) const {
  const Problem& a = problem_;
  const Scratch<T> delta(static_cast<size_t>(p.batch * p.heads * p.length));
  row_delta(delta.get(), g, p);
  g.delta = delta.get();
  attention_backward<T>(g, p);
  // Of a tensor that may hold keys and values beside the queries: zeros there.
  const Tensor d_q_prefix = Tensor::zeros(d_q.shape(), d_q.dtype());
  const Tensor d_k = Tensor::empty(a.k.shape(), a.k.dtype()), d_v = Tensor::empty(a.v.shape(), a.v.dtype());
  Gradients<T> own{
      d_q_prefix.data<T>(), d_k.data<T>(), d_v.data<T>(), nullptr, g.d_out, g.out, g.rows, nullptr, nullptr};
  own.delta = delta.get();
  attention_backward<T>(own, a);
  add_into(d_q, 0, d_q_prefix);
  accumulate(a.k, d_k);
  accumulate(a.v, d_v);
}

template void KVPrefix::join<float>(float*, const RowStatistics<float>&, float*, const Problem&) const;
template void KVPrefix::join<double>(double*, const RowStatistics<double>&, double*, const Problem&) const;
template void KVPrefix::backward<float>(Gradients<float>, const Problem&, const Tensor&) const;
template void KVPrefix::backward<double>(Gradients<double>, const Problem&, const Tensor&) const;

}  // namespace attendo::blocked

// Attention with scores from eight-bit integers
//
//   a_i = max_c |q_ic| / 127,  n_ic = round(q_ic / a_i)      b_j, m_jc alike from k      q̂ = a n,  k̂ = b m
//   s_ij = scale a_i b_j Σ_c n_ic m_jc      o_i = Σ_j softmax_j(s_ij) v_j
//
//   backward   straight through the rounding:  that of attention(q̂, k̂, v), with dq = dq̂ and dk = dk̂
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  A row of q or k that holds NaN or inf has NaN for scores. The
// sums are exact int32; from there on it is floats, the scores of a block of queries at a time, in scratch memory. Where a
// gradient is wanted, attention(q̂, k̂, v) runs beside, in floats, and keeps what it keeps.
// Jacob et al. 2018, eq. 1 with zero point 0; Bengio et al. 2013 (straight through); articles 003 §8.4, 004 §9 (quantisation).
#include "attention/int8_attention.h"

#include "attention/heads.h"
#include "core/cost.h"
#include "core/parallel.h"
#include "kernels/int8_scores.h"
#include "kernels/rows.h"
#include "ops/gemm.h"

namespace attendo {
namespace {

constexpr Index kBlockRows = 64;  // queries whose scores are in memory at once; a multiple of the kernel's

struct Int8Problem {
  Tensor q, k, v, key_lengths;
  Heads heads;
  double scale = 1;
  bool causal = false;
  Index q_offset = 0;
};

// The keys of one (batch, kv head) as the kernel wants them.
template <typename T>
struct PackedKeys {
  Index panels_bytes, scales;  // of one head
  Scratch<std::int8_t> packed;
  Scratch<T> scale;

  explicit PackedKeys(const Heads& s)
      : panels_bytes(kernels::int8_keys(s.keys) / kernels::kInt8Keys * kernels::int8_panel(s.d)),
        scales(kernels::int8_keys(s.keys)),
        packed(static_cast<size_t>(s.batch * s.kv_heads * panels_bytes)),
        scale(static_cast<size_t>(s.batch * s.kv_heads * scales)) {}
};

template <typename T>
void pack_keys(PackedKeys<T>& packed, const Int8Problem& p) {
  const Heads& s = p.heads;
  const Index chunks = packed.scales / kernels::kInt8Keys, features = kernels::int8_features(s.d);
  const Index grain = std::max<Index>(1, 50000 / (kernels::kInt8Keys * std::max<Index>(1, s.d)));
  parallel_ranges(s.batch * s.kv_heads * chunks, grain, [&](Index first, Index last) {
    Scratch<std::int8_t> rows(static_cast<size_t>(kernels::kInt8Keys * features));
    for (Index unit = first; unit < last; ++unit) {
      const Index kv = unit / chunks, begin = unit % chunks * kernels::kInt8Keys;
      const Index count = std::min(kernels::kInt8Keys, s.keys - begin);
      T* scale = packed.scale.get() + kv * packed.scales + begin;
      kernels::int8_kernels<T>().quantize(rows.get(), features, scale, p.k.data<T>() + (kv * s.keys + begin) * s.d, s.d,
                                          count, s.d);
      std::fill(scale + count, scale + kernels::kInt8Keys, T(0));
      kernels::int8_pack_keys(
          packed.packed.get() + kv * packed.panels_bytes + begin / kernels::kInt8Keys * kernels::int8_panel(s.d),
          rows.get(), features, count, s.d);
    }
  });
}

template <typename T>
bool all_finite(const T* x, Index n) {
  T sum = 0;  // of zeros and NaNs
  for (Index i = 0; i < n; ++i) sum += x[i] * T(0);
  return sum == T(0);
}

// out (rows, d_v) = weights · v, of whose row i the first `first + i` values count and no others, up to `keys`.
template <typename T>
void weigh_values(T* out, const T* weights, Index weights_row, const T* v, Index rows, Index first, Index keys,
                  Index d_v) {
  Gemm<T> g;
  g.m = rows, g.n = d_v, g.k = keys;
  g.a = weights, g.a_row = weights_row;
  g.b = v, g.b_row = d_v;
  g.c = out, g.c_row = d_v;
  const Index whole = std::clamp<Index>(first, 0, keys);
  if (all_finite(v + whole * d_v, (keys - whole) * d_v)) {
    gemm(g);
    return;
  }
  for (Index i = 0; i < rows; ++i) {  // a weight of 0 does not take a NaN away
    Gemm<T> row = g;
    row.m = 1, row.k = std::clamp<Index>(first + i, 0, keys);
    row.a = weights + i * weights_row, row.c = out + i * d_v;
    if (row.k > 0) gemm(row);
  }
}

// out: zeroed.
template <typename T>
void int8_attention_forward(T* out, const Int8Problem& p) {
  const Heads& s = p.heads;
  const auto& int8 = kernels::int8_kernels<T>();
  const auto softmax = kernels::row_kernels<T>().softmax;
  PackedKeys<T> packed(s);
  pack_keys(packed, p);
  const Index blocks = (s.length + kBlockRows - 1) / kBlockRows, features = kernels::int8_features(s.d);
  const Index work = std::max<Index>(1, std::min(kBlockRows, s.length) * s.keys * (s.d + s.d_v));
  parallel_ranges(s.batch * s.heads * blocks, std::max<Index>(1, 400000 / work), [&](Index begin_unit, Index end_unit) {
    Scratch<T> scores(static_cast<size_t>(kBlockRows * packed.scales));
    Scratch<T> factor(static_cast<size_t>(kBlockRows));
    Scratch<std::int8_t> queries(static_cast<size_t>(kBlockRows * features));
    std::fill_n(queries.get(), kBlockRows * features, std::int8_t{0});
    for (Index unit = begin_unit; unit < end_unit; ++unit) {
      const Index bh = unit / blocks, b = bh / s.heads, begin = unit % blocks * kBlockRows;
      const Index count = std::min(kBlockRows, s.length - begin);
      const Index kv = b * s.kv_heads + bh % s.heads / s.group();
      Index keys = length_of(p.key_lengths, b, s.keys);
      const Index first = p.causal ? begin + p.q_offset + 1 : keys;  // keys of the block's first query
      if (p.causal) keys = std::clamp<Index>(first + count - 1, 0, keys);
      if (keys == 0) continue;
      count_multiply_adds(count * keys * s.d);
      int8.quantize(queries.get(), features, factor.get(), p.q.data<T>() + (bh * s.length + begin) * s.d, s.d, count,
                    s.d);
      for (Index i = 0; i < count; ++i) factor.get()[i] *= static_cast<T>(p.scale);
      int8.scores(scores.get(), packed.scales, queries.get(), factor.get(), count,
                  packed.packed.get() + kv * packed.panels_bytes, packed.scale.get() + kv * packed.scales, keys, s.d);
      for (Index i = 0; i < count; ++i) {
        T* row = scores.get() + i * packed.scales;
        const Index n = p.causal ? std::clamp<Index>(first + i, 0, keys) : keys;
        if (n > 0) softmax(row, row, 1, n);
        std::fill(row + n, row + keys, T(0));
      }
      weigh_values(out + (bh * s.length + begin) * s.d_v, scores.get(), packed.scales,
                   p.v.data<T>() + kv * s.keys * s.d_v, count, first, keys, s.d_v);
    }
  });
}

// x̂ = scale n: x as eight bits know it. Its gradient is that of x.
Tensor straight_through(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype());
  const Index d = x.dim(-1), rows = d == 0 ? 0 : x.size() / d;
  dispatch_float("int8_attention", "q", x, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(rows, rows_per_task(8 * d), [&](Index first, Index last) {
      Scratch<std::int8_t> n(static_cast<size_t>(d));
      for (Index i = first; i < last; ++i) {
        T scale;
        kernels::int8_kernels<T>().quantize(n.get(), d, &scale, x.data<T>() + i * d, d, 1, d);
        for (Index c = 0; c < d; ++c) y.data<T>()[i * d + c] = scale * static_cast<T>(n.get()[c]);
      }
    });
  });
  if (needs_grad({&x})) record("straight_through", {x}, {y}, [x](const Tensors& d_y) { accumulate(x, d_y[0]); });
  return y;
}

}  // namespace

Tensor int8_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Int8Options& options) {
  Int8Problem p;
  p.q = q, p.k = k, p.v = v, p.key_lengths = options.key_lengths;
  p.heads = check_heads("int8_attention", q, k, v);
  const Heads& s = p.heads;
  p.scale = scale_or_default("int8_attention", options.scale, s.d);
  check_lengths("int8_attention", "lengths", options.key_lengths, s.batch, s.keys, "the number of keys");
  if (s.d > kernels::kInt8MaxFeatures) {
    value_error("int8_attention: q has ", s.d, " features but at most ", kernels::kInt8MaxFeatures,
                " are supported, for their sum must fit an int32");
  }
  p.causal = options.causal, p.q_offset = options.q_offset;
  const Tensor out = Tensor::zeros(with_heads(q.shape(), s.heads, s.length, s.d_v), q.dtype());
  if (out.size() > 0 && s.keys > 0) {
    dispatch_float("int8_attention", "q", q, [&](auto zero) {
      using T = decltype(zero);
      int8_attention_forward<T>(out.data<T>(), p);
    });
  }
  if (!needs_grad({&q, &k, &v})) return out;
  AttentionOptions in_floats;
  in_floats.scale = p.scale, in_floats.causal = p.causal, in_floats.q_offset = p.q_offset;
  in_floats.key_lengths = p.key_lengths;
  const Tensor beside = scaled_dot_product(straight_through(q), straight_through(k), v, in_floats, false).out;
  record("int8_attention", {beside}, {out}, [beside](const Tensors& d) { accumulate(beside, d[0]); });
  return out;
}

}  // namespace attendo

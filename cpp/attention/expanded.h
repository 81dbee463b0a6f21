// Attention in differentiable operations, for gradients of gradients
//
//   s = cap(scale q kᵀ) + b where allowed, else -inf      P = softmax(s), beside the sinks      o = drop(P) v
//
// A score program has no such form: it is refused.
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  s, P: (B, H, L, S): memory is that of several such arrays.
// Rows of a pair (i, j) that is not allowed never meet: what is behind a mask may be NaN, in every derivative.
#pragma once

#include <cmath>

#include "attention/problem.h"
#include "core/autograd.h"
#include "kernels/rows.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace attendo {

// Which i may meet which j: bool (…, m, n); undefined: all.
struct Pairs {
  Tensor allowed;
  Pairs swapped() const { return {allowed ? swap_axes(allowed, -1, -2) : Tensor()}; }
};

Tensor sum_over_pairs(const Tensor& a, const Tensor& x, const Pairs& pairs);

// c_ij = x_i · y_j where allowed, else 0
inline Tensor dot_of_pairs(const Tensor& x, const Tensor& y, const Pairs& pairs) {
  if (!pairs.allowed) return matmul(x, swap_axes(y, -1, -2));
  Tensor c;
  {
    const NoGrad no_grad;
    c = select(matmul(x, swap_axes(y, -1, -2)), pairs.allowed);
  }
  if (!needs_grad({&x, &y})) return c;
  record("attention", {x, y}, {c}, Twice::kYes, [x, y, pairs](const Tensors& d) {
    if (x.requires_grad()) accumulate(x, sum_over_pairs(d[0], y, pairs));
    if (y.requires_grad()) accumulate(y, sum_over_pairs(swap_axes(d[0], -1, -2), x, pairs.swapped()));
  });
  return c;
}

// c_i = Σ_j a_ij x_j over the allowed j
inline Tensor sum_over_pairs(const Tensor& a, const Tensor& x, const Pairs& pairs) {
  if (!pairs.allowed) return matmul(a, x);
  Tensor c;
  {
    const NoGrad no_grad;
    const Tensor chosen = select(a, pairs.allowed), finite = x.clone();
    const Index width = x.dim(-1), keys = x.dim(-2), rows = a.dim(-2);
    std::vector<Index> poisoned;  // rows of x that are not finite: one by one, for 0 · NaN is NaN
    dispatch_float("attention", "x", x, [&](auto zero) {
      using T = decltype(zero);
      for (Index j = 0; j < x.size() / std::max<Index>(1, width); ++j) {
        T* row = finite.data<T>() + j * width;
        if (std::all_of(row, row + width, [](T value) { return std::isfinite(value); })) continue;
        poisoned.push_back(j);
        std::fill_n(row, width, T(0));
      }
      c = matmul(chosen, finite);
      for (const Index at : poisoned) {
        const Index head = at / keys, j = at % keys;
        const T* row = x.data<T>() + at * width;
        for (Index i = head * rows; i < (head + 1) * rows; ++i) {
          if (!pairs.allowed.data<bool>()[i * keys + j]) continue;
          const T weight = a.data<T>()[i * keys + j];
          for (Index e = 0; e < width; ++e) c.data<T>()[i * width + e] += weight * row[e];
        }
      }
    });
  }
  if (!needs_grad({&a, &x})) return c;
  record("attention", {a, x}, {c}, Twice::kYes, [a, x, pairs](const Tensors& d) {
    if (a.requires_grad()) accumulate(a, dot_of_pairs(d[0], x, pairs));
    if (x.requires_grad()) accumulate(x, sum_over_pairs(swap_axes(a, -1, -2), d[0], pairs.swapped()));
  });
  return c;
}

struct ExpandedAttention {
  Tensor q, k, v;
  double scale = 1, softcap = 0;
  Tensor sinks;    // (H,) or undefined
  Tensor bias;     // (B, H, L, S) or undefined
  Tensor allowed;  // bool (B, H, L, S), undefined: all
  Tensor kept;     // by dropout: bool (B, H, L, S), undefined: all
  double keep_scale = 1;
};

// -> out (B, H, L, Dv), weights (B, H, L, S)
inline Tensors expanded_attention(const ExpandedAttention& e) {
  const Index batch = e.q.dim(0), heads = e.q.dim(1), length = e.q.dim(2), kv_heads = e.k.dim(1), keys = e.k.dim(2);
  // The heads that read one kv head as one long one.
  const Index rows = kv_heads == 0 ? 0 : heads / kv_heads * length;
  const Shape scores{batch, heads, length, keys}, grouped{batch, kv_heads, rows, keys};
  const Pairs pairs{e.allowed ? e.allowed.view(grouped) : Tensor()};
  const Tensor q = reshape(e.q, {batch, kv_heads, rows, e.q.dim(3)});
  Tensor s = reshape(scale(dot_of_pairs(q, e.k, pairs), e.scale), scores);
  if (e.softcap > 0) s = scale(tanh(scale(s, 1 / e.softcap)), e.softcap);
  if (e.bias) s = add(s, e.bias);
  if (e.allowed) s = select(s, e.allowed, -HUGE_VAL);
  Tensor weights;
  if (e.sinks) {  // one key more, whose weight is thrown away
    const Tensor sink = broadcast_to(reshape(e.sinks, {heads, 1, 1}), {batch, heads, length, 1});
    weights = take(softmax(concatenate({s, sink}, -1)), 3, 0, keys);
  } else {
    weights = softmax(s);
  }
  if (e.allowed) weights = select(weights, e.allowed);
  const Tensor used = e.kept ? select(scale(weights, e.keep_scale), e.kept) : weights;
  const Tensor out = sum_over_pairs(reshape(used, grouped), e.v, pairs);
  return {reshape(out, {batch, heads, length, e.v.dim(3)}), weights};
}

// ---- from a problem -------------------------------------------------------------------------------------------------

namespace blocked {

// body(b, h, l, j) for all of (B, H, L, S), as bool
template <typename Body>
Tensor for_pairs(const Problem& p, const Body& body) {
  const Tensor out = Tensor::empty({p.batch, p.heads, p.length, p.keys}, DType::kBool);
  bool* to = out.data<bool>();
  parallel_ranges(p.batch * p.heads * p.length, rows_per_task(8 * p.keys), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index bh = row / p.length, b = bh / p.heads, h = bh % p.heads, l = row % p.length;
      for (Index j = 0; j < p.keys; ++j) to[row * p.keys + j] = body(b, h, l, j);
    }
  });
  return out;
}

inline Tensor allowed_pairs(const Problem& p) {
  if (!p.left && !p.right && !p.key_lengths && !p.mask && !p.rule) return {};
  const Tensor allowed = for_pairs(p, [&](Index b, Index h, Index l, Index j) {
    const Index i = l + p.offset_of(b);
    if (p.left && j < i - *p.left) return false;
    if (p.right && j > i + *p.right) return false;
    if (p.key_lengths && j >= p.key_lengths.data<std::int64_t>()[b]) return false;
    if (!p.mask) return true;
    const Index at = p.mask_batch[static_cast<size_t>(b)] + h * p.mask_layout.head + l * p.mask_layout.row;
    return p.mask.data<bool>()[at + j * p.mask_col];
  });
  if (!p.rule) return allowed;
  bool* to = allowed.data<bool>();
  parallel_for(p.batch * p.heads, [&](Index bh) {
    const kernels::MaskRule rule = p.rule->of(bh / p.heads, bh % p.heads, p.rule_row);
    std::uint64_t bits[kernels::kRuleKeys];
    for (Index l = 0; l < p.length; l += kernels::kRuleQueries) {
      const Index rows = std::min(kernels::kRuleQueries, p.length - l);
      for (Index j = 0; j < p.keys; j += kernels::kRuleKeys) {
        const Index keys = std::min(kernels::kRuleKeys, p.keys - j);
        kernels::evaluate_rule(rule, l, rows, j, keys, bits);
        for (Index x = 0; x < keys; ++x) {
          for (Index y = 0; y < rows; ++y) {
            bool& pair = to[(bh * p.length + l + y) * p.keys + j + x];
            pair = pair && (bits[x] >> y & 1) != 0;
          }
        }
      }
    }
  });
  return allowed;
}

inline Tensor kept_pairs(const Problem& p) {
  if (p.dropout == 0) return {};
  const std::uint32_t drop_below = drop_threshold(p.dropout);
  return for_pairs(p, [&](Index b, Index h, Index l, Index j) {
    const std::uint64_t stream = mix_seed(p.stream, static_cast<std::uint64_t>(b * p.heads + h));
    const std::uint32_t key = kernels::row_key(stream, static_cast<std::uint64_t>(j));
    return kernels::random_bits(key, static_cast<std::uint32_t>(l)) >= drop_below;
  });
}

// What attention's node does, in differentiable operations. inputs: q, k, v, bias, sinks; `columns`: q, k and v as attend_heads has
// them.
inline Tensors expanded(const Problem& p, bool columns, const Tensors& inputs) {
  auto heads_of = [&](const Tensor& x, const Layout& layout, Index heads, Index rows, Index d) {
    if (!columns) return reshape(x, {p.batch, heads, rows, d});
    const Tensor own = take(x, 2, layout.at, layout.at + heads * d);
    return transpose(reshape(own, {p.batch, rows, heads, d}), {0, 2, 1, 3});
  };
  ExpandedAttention e;
  e.q = heads_of(inputs[0], p.q_layout, p.heads, p.length, p.d);
  e.k = heads_of(inputs[1], p.k_layout, p.kv_heads, p.keys, p.d);
  e.v = heads_of(inputs[2], p.v_layout, p.kv_heads, p.keys, p.d_v);
  e.scale = p.scale;
  if (inputs[3]) {
    e.bias = reshape(broadcast_to(inputs[3], p.weights_shape), {p.batch, p.heads, p.length, p.keys});
  }
  e.softcap = p.softcap;
  e.sinks = inputs[4];
  e.allowed = allowed_pairs(p);
  e.kept = kept_pairs(p);
  if (e.kept) e.keep_scale = keep_scale<double>(p.dropout);
  Tensors results = expanded_attention(e);
  if (columns) {
    results[0] = reshape(transpose(results[0], {0, 2, 1, 3}), {p.batch, p.length, p.heads * p.d_v});
  } else {
    Shape shape = p.weights_shape;
    shape[-1] = p.d_v;
    results[0] = reshape(results[0], shape);
  }
  results[1] = reshape(results[1], p.weights_shape);
  return results;
}

}  // namespace blocked

}  // namespace attendo

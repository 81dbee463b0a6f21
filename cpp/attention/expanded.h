// Attention in differentiable operations, for gradients of gradients
//
//   s = cap(scale q kᵀ) + b where allowed, else -inf      P = softmax(s), beside the sinks      o = drop(P) v
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  s, P: (B, H, L, S): memory is that of several such arrays.
// Rows of a pair (i, j) that is not allowed never meet: what is behind a mask may be NaN, in every derivative.
#pragma once

#include <cmath>

#include "core/autograd.h"
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

}  // namespace attendo

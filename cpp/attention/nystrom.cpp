// Nyström attention: softmax(Q Kᵀ) by way of m landmarks
//
//   q̃_t, k̃_t = means of the queries and keys of segment t: positions ⌊t n/m⌋ to ⌊(t+1) n/m⌋ of the n that are there
//   A = softmax(scale Q̃ K̃ᵀ)      T = softmax(scale Q̃ Kᵀ) V      out = softmax(scale Q K̃ᵀ) (Z T)
//   Z = A⁺ nearly:   Z_0 = Aᵀ / max_j Σ_i A_ij,   X = A Z,   Z ← ¼ Z (13 I - X (15 I - X (7 I - X)))
//
//   backward   of one step:   W₁ = 7 I - X,  W₂ = 15 I - X W₁,  W₃ = 13 I - X W₂
//              dW₃ = ¼ Zᵀ dZ'   dW₂ = -Xᵀ dW₃   dW₁ = -Xᵀ dW₂   dX = -dW₃ W₂ᵀ - dW₂ W₁ᵀ - dW₁
//              dZ = ¼ dZ' W₃ᵀ + Aᵀ dX           dA += dX Zᵀ
//              of Z_0 = Aᵀ / c:   dA += dZ_0ᵀ / c,   dA_ij* -= Σ dZ_0 ∘ Aᵀ / c²  in the column j* of the largest sum
//              of the means:      dx_j = dx̃_t / (positions of t)
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  Q̃, K̃: (B, H, m, D).  A, Z: (B, H, m, m).  T: (B, H, m, Dv).
// With fewer positions than landmarks a segment is one position, and some are there twice. A's rows sum to one, which is the
// other norm of Z_0. Both softmax products with V run blocked, as attention does. Kept: A, all Z, and what attention keeps.
// Xiong et al. 2021, eq. 7 and 13, alg. 1; Razavi et al. 2014 (the iteration).
#include "attention/nystrom.h"

#include <cmath>
#include <vector>

#include "attention/heads.h"
#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/gemm.h"
#include "ops/matmul.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace attendo {
namespace {

// ---- means of segments ----------------------------------------------------------------------------------------------

// x (B, Hx, N, D) -> y (B, Hx·copies, m, D): each head's means, `copies` times.
struct Segments {
  Tensor x, lengths;
  Index batch, heads, positions, d, m, copies;

  Index begin(Index t, Index n) const { return t * n / m; }
  Index end(Index t, Index n) const { return std::max(begin(t, n) + 1, (t + 1) * n / m); }
};

template <typename T>
void segment_means_forward(T* y, const Segments& p) {
  const Index grain = std::max<Index>(1, 100000 / std::max<Index>(1, p.positions * p.d));
  parallel_ranges(p.batch * p.heads, grain, [&](Index first, Index last) {
    for (Index bh = first; bh < last; ++bh) {
      const Index n = length_of(p.lengths, bh / p.heads, p.positions);
      const T* x = p.x.data<T>() + bh * p.positions * p.d;
      T* to = y + bh * p.copies * p.m * p.d;
      std::fill_n(to, p.m * p.d, T(0));
      for (Index t = 0; n > 0 && t < p.m; ++t) {
        T* mean = to + t * p.d;
        const Index begin = p.begin(t, n), end = p.end(t, n);
        for (Index i = begin; i < end; ++i) {
          for (Index c = 0; c < p.d; ++c) mean[c] += x[i * p.d + c];
        }
        const T count = static_cast<T>(end - begin);
        for (Index c = 0; c < p.d; ++c) mean[c] /= count;
      }
      for (Index copy = 1; copy < p.copies; ++copy) std::copy_n(to, p.m * p.d, to + copy * p.m * p.d);
    }
  });
}

template <typename T>
void segment_means_backward(T* d_x, const T* d_y, const Segments& p) {
  const Index grain = std::max<Index>(1, 100000 / std::max<Index>(1, p.positions * p.d));
  parallel_ranges(p.batch * p.heads, grain, [&](Index first, Index last) {
    for (Index bh = first; bh < last; ++bh) {
      const Index n = length_of(p.lengths, bh / p.heads, p.positions);
      T* to = d_x + bh * p.positions * p.d;
      std::fill_n(to, p.positions * p.d, T(0));
      for (Index copy = 0; n > 0 && copy < p.copies; ++copy) {
        const T* from = d_y + (bh * p.copies + copy) * p.m * p.d;
        for (Index t = 0; t < p.m; ++t) {
          const Index begin = p.begin(t, n), end = p.end(t, n);
          const T count = static_cast<T>(end - begin);
          for (Index i = begin; i < end; ++i) {
            for (Index c = 0; c < p.d; ++c) to[i * p.d + c] += from[t * p.d + c] / count;
          }
        }
      }
    }
  });
}

Tensor segment_means(const Segments& p) {
  const Tensor y = Tensor::empty(with_heads(p.x.shape(), p.heads * p.copies, p.m, p.d), p.x.dtype());
  dispatch_float("nystrom", "q", p.x, [&](auto zero) {
    using T = decltype(zero);
    segment_means_forward<T>(y.data<T>(), p);
  });
  if (!needs_grad({&p.x})) return y;
  record("segment_means", {p.x}, {y}, [p](const Tensors& d) {
    const Tensor d_x = Tensor::empty(p.x.shape(), p.x.dtype());
    dispatch_float("nystrom", "q", p.x, [&](auto zero) {
      using T = decltype(zero);
      segment_means_backward<T>(d_x.data<T>(), d[0].data<T>(), p);
    });
    accumulate(p.x, d_x);
  });
  return y;
}

// ---- the pseudo-inverse ---------------------------------------------------------------------------------------------

// c = factor · a b, of m × m matrices, either transposed; + c.
template <typename T>
void product(T* c, const T* a, bool a_transposed, const T* b, bool b_transposed, Index m, T factor = 1,
             bool add = false) {
  Gemm<T> g;
  g.m = g.n = g.k = m;
  g.a = a, g.a_row = a_transposed ? 1 : m, g.a_col = a_transposed ? m : 1;
  g.b = b, g.b_row = b_transposed ? 1 : m, g.b_col = b_transposed ? m : 1;
  g.c = c, g.c_row = m, g.add = add;
  gemm(g);
  if (factor != T(1)) {
    for (Index i = 0; i < m * m; ++i) c[i] *= factor;
  }
}

// w = value · I - w
template <typename T>
void identity_minus(T* w, T value, Index m) {
  for (Index i = 0; i < m * m; ++i) w[i] = -w[i];
  for (Index i = 0; i < m; ++i) w[i * m + i] += value;
}

// x = a z and w[0], w[1], w[2] of one step.
template <typename T>
void step_parts(T* x, T* w, const T* a, const T* z, Index m) {
  const Index size = m * m;
  product(x, a, false, z, false, m);
  std::copy_n(x, size, w);
  identity_minus(w, T(7), m);
  product(w + size, x, false, w, false, m);
  identity_minus(w + size, T(15), m);
  product(w + 2 * size, x, false, w + size, false, m);
  identity_minus(w + 2 * size, T(13), m);
}

// The largest sum of a column, NaN where one is, and its column.
template <typename T>
T largest_column(const T* a, Index m, Index& column) {
  std::vector<T> sums(static_cast<size_t>(m), T(0));
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < m; ++j) sums[static_cast<size_t>(j)] += a[i * m + j];
  }
  column = 0;
  for (Index j = 1; j < m; ++j) {
    const T best = sums[static_cast<size_t>(column)];
    if (std::isnan(best)) break;
    if (!(sums[static_cast<size_t>(j)] <= best)) column = j;
  }
  return sums[static_cast<size_t>(column)];
}

// z (iterations + 1, m, m): every Z of one matrix.
template <typename T>
void pseudo_inverse_forward(T* z, const T* a, Index m, Index iterations) {
  const Index size = m * m;
  Index column = 0;
  const T c = largest_column(a, m, column);
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < m; ++j) z[i * m + j] = a[j * m + i] / c;
  }
  Scratch<T> scratch(static_cast<size_t>(4 * size));
  T *x = scratch.get(), *w = x + size;
  for (Index n = 0; n < iterations; ++n, z += size) {
    step_parts(x, w, a, z, m);
    product(z + size, z, false, w + 2 * size, false, m, T(0.25));
  }
}

// d_z: the gradient of the last Z; used up.
template <typename T>
void pseudo_inverse_backward(T* d_a, T* d_z, const T* a, const T* z, Index m, Index iterations) {
  const Index size = m * m;
  Scratch<T> scratch(static_cast<size_t>(8 * size));
  T *x = scratch.get(), *w = x + size, *d_x = w + 3 * size, *d_w = d_x + size, *d_w2 = d_w + size, *next = d_w2 + size;
  std::fill_n(d_a, size, T(0));
  for (Index n = iterations - 1; n >= 0; --n) {
    const T* zn = z + n * size;
    step_parts(x, w, a, zn, m);
    product(d_w, zn, true, d_z, false, m, T(0.25));  // dW₃
    product(next, d_z, false, w + 2 * size, true, m, T(0.25));
    product(d_w2, x, true, d_w, false, m, T(-1));             // dW₂
    product(d_x, x, true, d_w2, false, m, T(-1));             // dW₁
    product(d_x, d_w, false, w + size, true, m, T(1), true);  // + dW₃ W₂ᵀ
    product(d_x, d_w2, false, w, true, m, T(1), true);        // + dW₂ W₁ᵀ
    for (Index i = 0; i < size; ++i) d_x[i] = -d_x[i];
    std::swap(d_z, next);
    product(d_z, a, true, d_x, false, m, T(1), true);
    product(d_a, d_x, false, zn, true, m, T(1), true);
  }
  Index column = 0;
  const T c = largest_column(a, m, column);
  T dot = 0;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < m; ++j) {
      d_a[i * m + j] += d_z[j * m + i] / c;
      dot += d_z[j * m + i] * a[i * m + j];
    }
  }
  for (Index i = 0; i < m; ++i) d_a[i * m + column] -= dot / c / c;
}

// a (…, m, m) -> z (…, m, m)
Tensor pseudo_inverse(const Tensor& a, Index iterations) {
  const Index m = a.dim(-1), count = a.size() / (m * m), size = m * m;
  const Tensor z = Tensor::empty(a.shape(), a.dtype());
  const bool keep = needs_grad({&a});
  const Tensor all = Tensor::empty({keep ? count : 0, iterations + 1, m, m}, a.dtype());
  dispatch_float("nystrom", "q", a, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(count, [&](Index i) {
      Scratch<T> own(static_cast<size_t>(keep ? 0 : (iterations + 1) * size));
      T* steps = keep ? all.data<T>() + i * (iterations + 1) * size : own.get();
      pseudo_inverse_forward(steps, a.data<T>() + i * size, m, iterations);
      std::copy_n(steps + iterations * size, size, z.data<T>() + i * size);
    });
  });
  if (!keep) return z;
  record("nystrom", {a}, {z}, [a, all, iterations, m, count, size](const Tensors& d) {
    const Tensor d_a = Tensor::empty(a.shape(), a.dtype());
    dispatch_float("nystrom", "q", a, [&](auto zero) {
      using T = decltype(zero);
      parallel_for(count, [&](Index i) {
        Scratch<T> d_z(static_cast<size_t>(size));
        std::copy_n(d[0].data<T>() + i * size, size, d_z.get());
        pseudo_inverse_backward(d_a.data<T>() + i * size, d_z.get(), a.data<T>() + i * size,
                                all.data<T>() + i * (iterations + 1) * size, m, iterations);
      });
    });
    accumulate(a, d_a);
  });
  return z;
}

// True for the queries that are there, (…, 1, L, 1).
Tensor queries_there(const Tensor& q_lengths, const Tensor& q, const Heads& p) {
  const Tensor mask = Tensor::empty(with_heads(q.shape(), 1, p.length, 1), DType::kBool);
  for (Index b = 0; b < p.batch; ++b) {
    const Index n = length_of(q_lengths, b, p.length);
    for (Index i = 0; i < p.length; ++i) mask.data<bool>()[b * p.length + i] = i < n;
  }
  return mask;
}

}  // namespace

Tensor nystrom(const Tensor& q, const Tensor& k, const Tensor& v, const NystromOptions& options) {
  const Heads p = check_heads("nystrom", q, k, v);
  const Index m = options.landmarks;
  AttentionOptions attend;
  attend.scale = scale_or_default("nystrom", options.scale, p.d);
  check_lengths("nystrom", "lengths", options.key_lengths, p.batch, p.keys, "the number of keys");
  check_lengths("nystrom", "q_lengths", options.q_lengths, p.batch, p.length, "the number of queries");
  if (options.iterations < 0 || options.iterations > 100) {
    value_error("nystrom: iterations is ", options.iterations, " but must be 0 to 100");
  }
  if (m < 1) value_error("nystrom: landmarks is ", m, " but must be 1 or more");
  if (q.size() == 0 || v.size() == 0 || k.size() == 0) {
    return scaled_dot_product(q, k, v, attend, false)
        .out;  // nothing to approximate: the right shape, of zeros or empty
  }
  if (m > p.length || m > p.keys) {
    value_error("nystrom: landmarks is ", m, " but must not exceed the ", p.length, " queries and ", p.keys, " keys");
  }
  const Tensor few_q = segment_means({q, options.q_lengths, p.batch, p.heads, p.length, p.d, m, 1});
  const Tensor few_k = segment_means({k, options.key_lengths, p.batch, p.kv_heads, p.keys, p.d, m, p.group()});
  const Tensor a = softmax(attendo::scale(matmul(few_q, swap_axes(few_k, -1, -2)), *attend.scale));  // (…, H, m, m)
  const Tensor z = pseudo_inverse(a, options.iterations);
  AttentionOptions of_landmarks = attend, of_queries = attend;
  of_landmarks.key_lengths = options.key_lengths;
  if (options.q_lengths) of_queries.mask = queries_there(options.q_lengths, q, p);
  const Tensor t = scaled_dot_product(few_q, k, v, of_landmarks, false).out;  // (…, H, m, Dv)
  return scaled_dot_product(q, few_k, matmul(z, t), of_queries, false).out;
}

}  // namespace attendo

// Performer: softmax attention by random features, FAVOR+
//
//   exp(scale q·k) = E_w[φ_w(q) φ_w(k)],   φ_w(x) = exp(w·x' - |x'|²/2),   x' = √scale x,   w ~ N(0, 1)
//
//   forward    out_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j)      with m rows w of W: linear attention, normalized
//   backward   of φ: dz = dφ ⊙ φ,   z = x' Wᵀ;    dx' = dz W - x' Σ dz;    all else is linear attention's
//
// A factor of φ(q_i), and one of all φ(k_j), cancels: the largest exponent is taken out of both, and no gradient goes through
// it. For keys in order it is the largest so far, c_t, and what was summed before is multiplied by e^(c_{t-1} - c_t): the
// gated rule. So nothing overflows and no key acts on those before it.
//   relu       φ(x) = max(x Wᵀ, 0) / √m + 0.001: another kernel than softmax's, cheaper
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  W: (m, D).  The estimate's error falls like 1/√m.
// Choromanski et al. 2021, lemma 1, theorem 2, §2.4.
#include "attention/performer.h"

#include <cmath>
#include <limits>

#include "attention/linear_attention.h"
#include "core/parallel.h"
#include "kernels/attention.h"
#include "kernels/rows.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/linear.h"

namespace attendo {
namespace {

constexpr double kReluFloor = 1e-3;  // so that no sum of weights is 0

template <typename T>
T largest(const T* x, Index n) {
  constexpr Index kLanes = 16;
  T best[kLanes];
  std::fill_n(best, kLanes, -std::numeric_limits<T>::infinity());
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Index lane = 0; lane < kLanes; ++lane) best[lane] = x[i + lane] > best[lane] ? x[i + lane] : best[lane];
  }
  for (; i < n; ++i) best[0] = x[i] > best[0] ? x[i] : best[0];
  for (Index lane = 1; lane < kLanes; ++lane) best[0] = best[lane] > best[0] ? best[lane] : best[0];
  return best[0];
}

// phi = exp(z - shift), rows of m
template <typename T>
void shifted_exp(T* phi, const T* z, T shift, Index m) {
  for (Index f = 0; f < m; ++f) phi[f] = z[f] - shift;
  kernels::row_kernels<T>().exp(phi, phi, m);
}

// φ of queries: exp(z - max z), a row; |x'|² is among what cancels.
Tensor query_features(const Tensor& z) {
  const Tensor phi = Tensor::empty(z.shape(), z.dtype());
  const Index m = z.dim(-1), rows = z.shape().product(0, z.rank() - 1);
  dispatch_float("performer", "q", z, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(rows, rows_per_task(8 * m), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const T* row = z.data<T>() + i * m;
        shifted_exp(phi.data<T>() + i * m, row, largest(row, m), m);
      }
    });
  });
  if (!needs_grad({&z})) return phi;
  record("query_features", {z}, {phi}, [z, saved = phi.detach(), m, rows](const Tensors& d) {
    const Tensor d_z = Tensor::empty(saved.shape(), saved.dtype());
    dispatch_float("performer", "q", saved, [&](auto zero) {
      using T = decltype(zero);
      parallel_ranges(rows * m, 1 << 15, [&](Index begin, Index end) {
        T* to = d_z.data<T>();
        const T *d_phi = d[0].data<T>(), *phi_ = saved.data<T>();
        for (Index i = begin; i < end; ++i) to[i] = d_phi[i] * phi_[i];
      });
    });
    accumulate(z, d_z);
  });
  return phi;
}

struct KeyFeatures {
  Tensor phi;    // (…, Hkv, S, m)
  Tensor decay;  // (…, Hkv, S): c_{t-1} - c_t, where the keys are in order
};

// shift[j]: c_j + |x'_j|²/2
template <typename T>
void key_features_forward(T* phi, T* decay, const T* z, const T* x, const std::int64_t* lengths, const Heads& s,
                          Index m) {
  const Index heads = s.batch * s.kv_heads, rows = heads * s.keys;
  const Scratch<T> memory(static_cast<size_t>(2 * rows));
  T *half = memory.get(), *shift = half + rows;
  parallel_ranges(rows, rows_per_task(2 * m + s.d), [&](Index begin, Index end) {
    kernels::attention_kernels<T>().row_dots(x + begin * s.d, s.d, x + begin * s.d, s.d, end - begin, s.d,
                                             half + begin);
    for (Index i = begin; i < end; ++i) {
      half[i] /= 2;
      shift[i] = largest(z + i * m, m) - half[i];
    }
  });
  const auto length_of = [&](Index head) { return lengths == nullptr ? s.keys : lengths[head / s.kv_heads]; };
  parallel_ranges(heads, std::max<Index>(1, 100000 / std::max<Index>(1, s.keys)), [&](Index begin, Index end) {
    for (Index head = begin; head < end; ++head) {
      const Index first = head * s.keys, length = length_of(head);
      T largest_yet = -std::numeric_limits<T>::infinity();
      for (Index j = first; j < first + length; ++j) {
        const T before = largest_yet;
        if (!(shift[j] <= largest_yet)) largest_yet = shift[j];  // a NaN is taken
        if (decay != nullptr) {
          decay[j] = j == first ? T(0) : before - largest_yet;
          shift[j] = largest_yet + half[j];
        }
      }
      if (decay != nullptr) std::fill_n(decay + first + length, s.keys - length, T(0));
      for (Index j = first; decay == nullptr && j < first + length; ++j) shift[j] = largest_yet + half[j];
    }
  });
  parallel_ranges(rows, rows_per_task(8 * m), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      if (i % s.keys < length_of(i / s.keys)) {
        shifted_exp(phi + i * m, z + i * m, shift[i], m);
      } else {
        std::fill_n(phi + i * m, m, T(0));
      }
    }
  });
}

KeyFeatures key_features(const Tensor& z, const Tensor& x, const PerformerOptions& o, const Heads& s) {
  const Index m = z.dim(-1), rows = s.batch * s.kv_heads * s.keys;
  KeyFeatures y{Tensor::empty(z.shape(), z.dtype()), Tensor()};
  if (o.causal) y.decay = Tensor::empty(x.shape().slice(0, x.rank() - 1), x.dtype());
  dispatch_float("performer", "k", z, [&](auto zero) {
    using T = decltype(zero);
    key_features_forward(y.phi.data<T>(), data_or_null<T>(y.decay), z.data<T>(), x.data<T>(),
                         data_or_null<std::int64_t>(o.key_lengths), s, m);
  });
  if (!needs_grad({&z, &x})) return y;
  record("key_features", {z, x}, {y.phi}, [z, x, saved = y.phi.detach(), m, rows, n = s.d](const Tensors& d) {
    const Tensor d_z = Tensor::empty(z.shape(), z.dtype()), d_x = Tensor::empty(x.shape(), x.dtype());
    dispatch_float("performer", "k", z, [&](auto zero) {
      using T = decltype(zero);
      parallel_ranges(rows, rows_per_task(2 * m + n), [&](Index begin, Index end) {
        const T *d_phi = d[0].data<T>() + begin * m, *phi = saved.data<T>() + begin * m;
        const Scratch<T> sums(static_cast<size_t>(end - begin));
        kernels::attention_kernels<T>().row_dots(d_phi, m, phi, m, end - begin, m, sums.get());
        T* to = d_z.data<T>() + begin * m;
        for (Index i = 0; i < (end - begin) * m; ++i) to[i] = d_phi[i] * phi[i];
        for (Index i = 0; i < end - begin; ++i) {
          const T *from = x.data<T>() + (begin + i) * n, sum = sums.get()[i];
          T* d_row = d_x.data<T>() + (begin + i) * n;
          for (Index c = 0; c < n; ++c) d_row[c] = -sum * from[c];
        }
      });
    });
    accumulate(z, d_z);
    accumulate(x, d_x);
  });
  return y;
}

// The rows of a (n, d), n <= d, at right angles to each other and of length 1: Gram and Schmidt, twice.
void orthonormalize(double* a, Index n, Index d) {
  for (Index i = 0; i < n; ++i) {
    double* row = a + i * d;
    for (int pass = 0; pass < 2; ++pass) {
      for (Index j = 0; j < i; ++j) {
        const double* other = a + j * d;
        double dot = 0;
        for (Index c = 0; c < d; ++c) dot += row[c] * other[c];
        for (Index c = 0; c < d; ++c) row[c] -= dot * other[c];
      }
      double square = 0;
      for (Index c = 0; c < d; ++c) square += row[c] * row[c];
      const double norm = std::sqrt(square);
      for (Index c = 0; c < d; ++c) row[c] /= norm;
    }
  }
}

}  // namespace

Index default_num_features(Index d) {
  const double wanted = static_cast<double>(d) * std::log(static_cast<double>(std::max<Index>(1, d)));
  return std::max<Index>(16, (static_cast<Index>(std::ceil(wanted)) + 15) / 16 * 16);
}

Tensor performer_features(Index m, Index d, Generator& generator, bool orthogonal, DType dtype) {
  const char* op = "performer_features";
  if (m < 1) value_error(op, ": num_features is ", m, " but must be 1 or more");
  if (d < 1) value_error(op, ": d is ", d, " but must be 1 or more");
  if (!is_float(dtype)) type_error(op, ": dtype is ", dtype_name(dtype), " but must be float32 or float64");
  const Tensor rows = Tensor::empty({m, d}, DType::kFloat64);
  fill_normal(rows, 0, 1, generator);
  if (orthogonal) {
    const Tensor directions = Tensor::empty({m, d}, DType::kFloat64);
    fill_normal(directions, 0, 1, generator);
    double *row = rows.data<double>(), *direction = directions.data<double>();
    for (Index i = 0; i < m; i += d) orthonormalize(direction + i * d, std::min(d, m - i), d);
    for (Index i = 0; i < m; ++i, row += d, direction += d) {  // as long as normal ones: the rows' own lengths
      double square = 0;
      for (Index c = 0; c < d; ++c) square += row[c] * row[c];
      for (Index c = 0; c < d; ++c) row[c] = std::sqrt(square) * direction[c];
    }
  }
  return dtype == DType::kFloat64 ? rows : rows.to(dtype);
}

Tensor performer(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& features, const PerformerOptions& o) {
  const char* op = "performer";
  const Heads s = check_heads(op, q, k, v);
  check_float(op, "features", features);
  check_same_dtype(op, "features", features, "q", q);
  check_rank(op, "features", features, 2, "(num_features, D)");
  if (features.dim(0) < 1 || features.dim(1) != s.d) {
    value_error(op, ": features has shape ", features.shape(), " but must have shape (1 or more, ", s.d,
                "), a row of query's features each");
  }
  const bool relu_kernel = o.kernel == PerformerKernel::kRelu;
  if (relu_kernel && o.scale) value_error(op, ": scale is given, but the relu kernel has none");
  const double factor = o.scale.value_or(s.d > 0 ? 1 / std::sqrt(static_cast<double>(s.d)) : 1);
  if (!(factor > 0 && std::isfinite(factor))) {
    value_error(op, ": scale is ", factor, " but must be a finite number above 0, since its root multiplies q and k");
  }
  check_lengths(op, "lengths", o.key_lengths, s.batch, s.keys, "the number of keys");
  LinearAttentionOptions linear_options;
  linear_options.normalize = true;
  linear_options.causal = o.causal;
  const Tensor clean_k = without_padding(k, o.key_lengths, s), clean_v = without_padding(v, o.key_lengths, s);
  if (relu_kernel) {
    const auto map = [&](const Tensor& x) {
      const double root = std::sqrt(static_cast<double>(features.dim(0)));
      return add_scalar(attendo::scale(relu(linear(x, features, Tensor())), 1 / root), kReluFloor);
    };
    linear_options.key_lengths = o.key_lengths;
    return linear_attention(map(q), map(clean_k), v, linear_options, op).out;
  }
  const Tensor x_q = attendo::scale(q, std::sqrt(factor)), x_k = attendo::scale(clean_k, std::sqrt(factor));
  const Tensor phi_q = query_features(linear(x_q, features, Tensor()));
  const KeyFeatures keys = key_features(linear(x_k, features, Tensor()), x_k, o, s);
  if (o.causal) {
    linear_options.rule = LinearRule::kGated;
    linear_options.decay = keys.decay;
  }
  return linear_attention(phi_q, keys.phi, clean_v, linear_options, op).out;
}

}  // namespace attendo

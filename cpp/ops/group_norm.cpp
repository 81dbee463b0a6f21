// Group norm: each group of channels of a sample over its channels and all positions
//
//   forward    x̂ = (x - μ) / σ,   μ = mean(x),  σ = √(var(x) + ε) of the group,      y = γ_c x̂ + β_c
//   backward   g = γ_c dy,   dx = (g - mean(g) - x̂ mean(g x̂)) / σ
//              dγ_c = Σ dy x̂      dβ_c = Σ dy      over batch and positions
//
// x, y: (B, C, positions), seen as (B · groups, n) with n = C / groups · positions.  γ, β: (C,).   Wu and He 2018, eq. 7.
#include "ops/group_norm.h"

#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/rows.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo {
namespace {

struct GroupNormSaved {
  Tensor x, weight, bias;
  Tensor mean, rstd;  // (B · groups,)
  Index rows, groups, channels, positions, n;
  double eps;

  Index per_group() const { return channels / groups; }
  // The first channel of a row.
  Index channel(Index row) const { return row % groups * per_group(); }
};

template <typename T>
void group_norm_forward(T* y, const GroupNormSaved& s) {
  const T *gamma = data_or_null<T>(s.weight), *beta = data_or_null<T>(s.bias);
  parallel_ranges(s.rows, rows_per_task(6 * s.n), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      T* out = y + r * s.n;
      kernels::row_kernels<T>().layer_norm(out, s.mean.data<T>() + r, s.rstd.data<T>() + r, s.x.data<T>() + r * s.n,
                                           nullptr, nullptr, static_cast<T>(s.eps), 1, s.n);
      if (gamma == nullptr && beta == nullptr) continue;
      for (Index c = s.channel(r); c < s.channel(r) + s.per_group(); ++c, out += s.positions) {
        const T factor = gamma == nullptr ? T(1) : gamma[c], shift = beta == nullptr ? T(0) : beta[c];
        for (Index i = 0; i < s.positions; ++i) out[i] = out[i] * factor + shift;
      }
    }
  });
}

// Σ dy and Σ dy x̂ of one channel of one sample, in parts for the compiler's vectors.
template <typename T>
void channel_sums(T& sum, T& sum_x, const T* d_y, const T* x, T mean, T rstd, Index n) {
  constexpr Index kLanes = 8;
  T part[kLanes] = {}, part_x[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Index k = 0; k < kLanes; ++k) {
      part[k] += d_y[i + k];
      part_x[k] += d_y[i + k] * ((x[i + k] - mean) * rstd);
    }
  }
  for (; i < n; ++i) {
    part[i % kLanes] += d_y[i];
    part_x[i % kLanes] += d_y[i] * ((x[i] - mean) * rstd);
  }
  sum = sum_x = T(0);
  for (Index k = 0; k < kLanes; ++k) sum += part[k], sum_x += part_x[k];
}

// Any of d_x, d_weight and d_bias may be null.
template <typename T>
void group_norm_backward(T* d_x, T* d_weight, T* d_bias, const T* d_y, const GroupNormSaved& s) {
  const T* gamma = data_or_null<T>(s.weight);
  const Index all = s.rows * s.per_group();  // (B, C)
  Scratch<T> sums(static_cast<size_t>(2 * all));
  T *sum = sums.get(), *sum_x = sum + all;
  parallel_ranges(s.rows, rows_per_task(8 * s.n), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T mean = s.mean.data<T>()[r], rstd = s.rstd.data<T>()[r];
      T mean_g = T(0), mean_gx = T(0);
      for (Index k = 0; k < s.per_group(); ++k) {
        const Index c = r * s.per_group() + k, at = c * s.positions;
        channel_sums(sum[c], sum_x[c], d_y + at, s.x.data<T>() + at, mean, rstd, s.positions);
        const T factor = gamma == nullptr ? T(1) : gamma[s.channel(r) + k];
        mean_g += factor * sum[c];
        mean_gx += factor * sum_x[c];
      }
      if (d_x == nullptr) continue;
      mean_g /= static_cast<T>(s.n);
      mean_gx /= static_cast<T>(s.n);
      for (Index k = 0; k < s.per_group(); ++k) {
        const T factor = gamma == nullptr ? T(1) : gamma[s.channel(r) + k];
        const Index first = (r * s.per_group() + k) * s.positions;
        const T* x = s.x.data<T>();
        for (Index i = first; i < first + s.positions; ++i) {
          d_x[i] = rstd * (factor * d_y[i] - mean_g - (x[i] - mean) * rstd * mean_gx);
        }
      }
    }
  });
  if (d_weight != nullptr) std::fill_n(d_weight, s.channels, T(0));
  if (d_bias != nullptr) std::fill_n(d_bias, s.channels, T(0));
  for (Index i = 0; i < all; ++i) {
    if (d_weight != nullptr) d_weight[i % s.channels] += sum_x[i];
    if (d_bias != nullptr) d_bias[i % s.channels] += sum[i];
  }
}

// In differentiable operations.
Tensor expanded(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormSaved& s) {
  Tensor y = reshape(x, {s.rows, s.n});
  if (s.n > 0) {
    y = subtract(y, mean(y, std::vector<int>{1}, true));
    y = multiply(y, power(add_scalar(mean(multiply(y, y), std::vector<int>{1}, true), s.eps), -0.5));
  }
  y = reshape(y, {s.rows / s.groups, s.channels, s.positions});
  if (weight) y = multiply(y, reshape(weight, {1, s.channels, 1}));
  if (bias) y = add(y, reshape(bias, {1, s.channels, 1}));
  return reshape(y, x.shape());
}

}  // namespace

Tensor group_norm(const Tensor& x, Index num_groups, const Tensor& weight, const Tensor& bias, double eps) {
  check_float("group_norm", "x", x);
  check_min_rank("group_norm", "x", x, 2, "(B, C, ...)");
  GroupNormSaved s;
  s.x = x, s.weight = weight, s.bias = bias, s.eps = eps;
  s.channels = x.dim(1), s.positions = x.shape().product(2, x.rank()), s.groups = num_groups;
  if (num_groups < 1 || s.channels % num_groups != 0) {
    value_error("group_norm: num_groups is ", num_groups, " but must be 1 or more and divide the ", s.channels,
                " channels of x");
  }
  for (const auto& [name, p] : {std::pair{"weight", &weight}, std::pair{"bias", &bias}}) {
    if (!*p) continue;
    check_float("group_norm", name, *p);
    check_same_dtype("group_norm", name, *p, "x", x);
    check_shape("group_norm", name, *p, {s.channels});
  }
  if (!(eps >= 0)) value_error("group_norm: eps is ", eps, " but must be 0 or more");
  s.n = s.per_group() * s.positions;
  s.rows = s.n == 0 ? 0 : x.size() / s.n;
  s.mean = Tensor::empty({s.rows}, x.dtype());
  s.rstd = Tensor::empty({s.rows}, x.dtype());
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float("group_norm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    group_norm_forward<T>(y.data<T>(), s);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record("group_norm", {x, weight, bias}, {y}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({s.x, s.weight, s.bias}, d,
                                [&s](const Tensors& p) -> Tensors { return {expanded(p[0], p[1], p[2], s)}; });
    }
    Tensor d_x, d_weight, d_bias;
    if (s.x.requires_grad()) d_x = Tensor::empty(s.x.shape(), s.x.dtype());
    if (s.weight && s.weight.requires_grad()) d_weight = Tensor::empty({s.channels}, s.x.dtype());
    if (s.bias && s.bias.requires_grad()) d_bias = Tensor::empty({s.channels}, s.x.dtype());
    dispatch_float("group_norm", "x", s.x, [&](auto zero) {
      using T = decltype(zero);
      group_norm_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight), data_or_null<T>(d_bias), d[0].data<T>(),
                             s);
    });
    accumulate(s.x, d_x);
    accumulate(s.weight, d_weight);
    accumulate(s.bias, d_bias);
  });
  return y;
}

}  // namespace attendo

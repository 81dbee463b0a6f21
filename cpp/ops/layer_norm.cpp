// Layer norm over the last axis
//
//   forward    x̂ = (x - μ) / σ,   μ = mean(x),  σ = √(var(x) + ε),      y = γ x̂ + β
//   backward   g = γ dy,   dx = (g - mean(g) - x̂ mean(g x̂)) / σ
//              dγ = Σ_rows dy x̂      dβ = Σ_rows dy
//
// x, y: (rows, n).  γ, β: (n,).  var is the mean square, without Bessel's correction.   Ba et al. 2016, eq. 4; 002 §5.2.
#include "ops/layer_norm.h"

#include "core/parallel.h"
#include "kernels/rows.h"

namespace attendo {
namespace {

struct LayerNormSaved {
  Tensor x, weight, bias;
  Tensor mean, rstd;  // (rows,)
  Index rows, n;
};

template <typename T>
T* data_or_null(const Tensor& x) {
  return x ? x.data<T>() : nullptr;
}

template <typename T>
void layer_norm_forward(T* y, const LayerNormSaved& s, double eps) {
  parallel_ranges(s.rows, rows_per_task(4 * s.n), [&](Index begin, Index end) {
    kernels::row_kernels<T>().layer_norm(y + begin * s.n, s.mean.data<T>() + begin, s.rstd.data<T>() + begin,
                                         s.x.data<T>() + begin * s.n, data_or_null<T>(s.weight),
                                         data_or_null<T>(s.bias), static_cast<T>(eps), end - begin, s.n);
  });
}

// dγ and dβ are summed in shards of rows, added in order.
template <typename T>
void layer_norm_backward(T* d_x, T* d_weight, T* d_bias, const T* d_y, const LayerNormSaved& s) {
  const Index n = s.n;
  const Shards shards(s.rows, rows_per_task(6 * n));
  Scratch<T> sums(static_cast<size_t>(2 * shards.count * n));
  std::fill_n(sums.get(), 2 * shards.count * n, T(0));
  parallel_for(shards.count, [&](Index shard) {
    const Index begin = shard * shards.rows, end = std::min(s.rows, begin + shards.rows);
    T* total = sums.get() + 2 * shard * n;
    // In blocks, whose sums are added: see column_sum.
    constexpr Index kBlock = 256;
    Scratch<T> block(static_cast<size_t>(2 * n));
    T* gamma = block.get();
    for (Index first = begin; first < end; first += kBlock) {
      const Index last = std::min(end, first + kBlock);
      std::fill_n(gamma, 2 * n, T(0));
      kernels::row_kernels<T>().layer_norm_backward(
          d_x == nullptr ? nullptr : d_x + first * n, d_weight == nullptr ? nullptr : gamma,
          d_bias == nullptr ? nullptr : gamma + n, d_y + first * n, s.x.data<T>() + first * n, s.mean.data<T>() + first,
          s.rstd.data<T>() + first, data_or_null<T>(s.weight), last - first, n);
      for (Index i = 0; i < 2 * n; ++i) total[i] += gamma[i];
    }
  });
  T* const outs[2] = {d_weight, d_bias};
  for (int which = 0; which < 2; ++which) {
    if (outs[which] == nullptr) continue;
    std::fill_n(outs[which], n, T(0));
    for (Index shard = 0; shard < shards.count; ++shard) {
      const T* part = sums.get() + (2 * shard + which) * n;
      for (Index i = 0; i < n; ++i) outs[which][i] += part[i];
    }
  }
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_float("layer_norm", "x", x);
  check_min_rank("layer_norm", "x", x, 1, "(..., n)");
  LayerNormSaved s;
  s.x = x, s.weight = weight, s.bias = bias;
  s.n = x.dim(-1);
  s.rows = x.shape().product(0, x.rank() - 1);
  for (const auto& [name, p] : {std::pair{"weight", &weight}, std::pair{"bias", &bias}}) {
    if (!*p) continue;
    check_float("layer_norm", name, *p);
    check_same_dtype("layer_norm", name, *p, "x", x);
    check_shape("layer_norm", name, *p, {s.n});
  }
  if (!(eps >= 0)) value_error("layer_norm: eps is ", eps, " but must be 0 or more");
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  s.mean = Tensor::empty({s.rows}, x.dtype());
  s.rstd = Tensor::empty({s.rows}, x.dtype());
  dispatch_float("layer_norm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (s.n > 0) layer_norm_forward<T>(y.data<T>(), s, eps);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record("layer_norm", {x, weight, bias}, {y}, [s = std::move(s)](const Tensors& d) {
    dispatch_float("layer_norm", "x", s.x, [&](auto zero) {
      using T = decltype(zero);
      Tensor d_x, d_weight, d_bias;
      if (s.x.requires_grad()) d_x = Tensor::empty(s.x.shape(), s.x.dtype());
      if (s.weight && s.weight.requires_grad()) d_weight = Tensor::empty({s.n}, s.x.dtype());
      if (s.bias && s.bias.requires_grad()) d_bias = Tensor::empty({s.n}, s.x.dtype());
      if (s.n > 0) {
        layer_norm_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight), data_or_null<T>(d_bias), d[0].data<T>(),
                               s);
      }
      accumulate(s.x, d_x);
      accumulate(s.weight, d_weight);
      accumulate(s.bias, d_bias);
    });
  });
  return y;
}

}  // namespace attendo

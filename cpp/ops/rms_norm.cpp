// RMS norm over the last axis: layer norm without its means and shift
//
//   forward    x̂ = x r,   r = 1 / √(mean(x²) + ε),      y = w x̂
//   backward   g = w dy,   dx = r (g - x̂ mean(g x̂)),      dw = Σ_rows dy x̂
//
// x, y: (rows, n).  w: (n,).                                                   Zhang and Sennrich 2019, eq. 4.
#include "ops/rms_norm.h"

#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/rms_norm.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"

namespace attendo {
namespace {

struct RmsNormSaved {
  Tensor x, weight;
  Tensor rstd;  // (rows,): r
  Index rows, n;
  double eps;
};

template <typename T>
void rms_norm_forward(T* y, const RmsNormSaved& s) {
  parallel_ranges(s.rows, rows_per_task(3 * s.n), [&](Index begin, Index end) {
    kernels::rms_norm_kernels<T>().forward(y + begin * s.n, s.rstd.data<T>() + begin, s.x.data<T>() + begin * s.n,
                                           data_or_null<T>(s.weight), static_cast<T>(s.eps), end - begin, s.n);
  });
}

// d_x and d_weight may be null. dw is summed in shards of rows, added in order.
template <typename T>
void rms_norm_backward(T* d_x, T* d_weight, const T* d_y, const RmsNormSaved& s) {
  const Index n = s.n;
  const Shards shards(s.rows, rows_per_task(5 * n));
  Scratch<T> sums(static_cast<size_t>(shards.count * n));
  std::fill_n(sums.get(), shards.count * n, T(0));
  parallel_for(shards.count, [&](Index shard) {
    const Index end = std::min(s.rows, (shard + 1) * shards.rows);
    T* total = sums.get() + shard * n;
    // In blocks, whose sums are added: see column_sum.
    constexpr Index kBlock = 256;
    Scratch<T> block(static_cast<size_t>(n));
    for (Index first = shard * shards.rows; first < end; first += kBlock) {
      const Index rows = std::min(kBlock, end - first);
      std::fill_n(block.get(), n, T(0));
      kernels::rms_norm_kernels<T>().backward(
          d_x == nullptr ? nullptr : d_x + first * n, d_weight == nullptr ? nullptr : block.get(), d_y + first * n,
          s.x.data<T>() + first * n, s.rstd.data<T>() + first, data_or_null<T>(s.weight), rows, n);
      for (Index i = 0; i < n; ++i) total[i] += block.get()[i];
    }
  });
  if (d_weight == nullptr) return;
  std::fill_n(d_weight, n, T(0));
  for (Index shard = 0; shard < shards.count; ++shard) {
    for (Index i = 0; i < n; ++i) d_weight[i] += sums.get()[shard * n + i];
  }
}

// In differentiable operations.
Tensor expanded(const Tensor& x, const Tensor& weight, double eps) {
  Tensor y = scale(x, 1);
  if (x.dim(-1) > 0) {
    const Tensor square = mean(multiply(x, x), std::vector<int>{-1}, true);
    y = multiply(x, power(add_scalar(square, eps), -0.5));
  }
  return weight ? multiply(y, weight) : y;
}

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  check_float("rms_norm", "x", x);
  check_min_rank("rms_norm", "x", x, 1, "(..., n)");
  RmsNormSaved s{x, weight, {}, x.shape().product(0, x.rank() - 1), x.dim(-1), eps};
  if (weight) {
    check_float("rms_norm", "weight", weight);
    check_same_dtype("rms_norm", "weight", weight, "x", x);
    check_shape("rms_norm", "weight", weight, {s.n});
  }
  if (!(eps >= 0)) value_error("rms_norm: eps is ", eps, " but must be 0 or more");
  s.rstd = Tensor::empty({s.rows}, x.dtype());
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float("rms_norm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (s.n > 0) rms_norm_forward<T>(y.data<T>(), s);
  });
  if (!needs_grad({&x, &weight})) return y;
  record("rms_norm", {x, weight}, {y}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({s.x, s.weight}, d,
                                [&s](const Tensors& p) -> Tensors { return {expanded(p[0], p[1], s.eps)}; });
    }
    dispatch_float("rms_norm", "x", s.x, [&](auto zero) {
      using T = decltype(zero);
      Tensor d_x, d_weight;
      if (s.weight && s.weight.requires_grad()) d_weight = Tensor::empty({s.n}, s.x.dtype());
      // Written where it is to stay if that place is free.
      bool in_place = false;
      if (s.x.requires_grad()) {
        const GradTarget target = grad_target(s.x);
        in_place = !target.add;
        d_x = in_place ? target.buffer : Tensor::empty(s.x.shape(), s.x.dtype());
      }
      if (s.n > 0) rms_norm_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight), d[0].data<T>(), s);
      if (!in_place) accumulate(s.x, d_x);
      accumulate(s.weight, d_weight);
    });
  });
  return y;
}

}  // namespace attendo

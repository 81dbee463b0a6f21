// Layer norm over the last axis
//
//   forward    x̂ = (x - μ) / σ,   μ = mean(x),  σ = √(var(x) + ε),      y = γ x̂ + β
//   backward   g = γ dy,   dx = (g - mean(g) - x̂ mean(g x̂)) / σ
//              dγ = Σ_rows dy x̂      dβ = Σ_rows dy
//
// x, y: (rows, n).  γ, β: (n,).  var is the mean square, without Bessel's correction.   Ba et al. 2016, eq. 4; 002 §5.2.
#include "ops/layer_norm.h"

#include "core/grad.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"

namespace attendo {
namespace {

template <typename T>
void layer_norm_forward(T* y, const LayerNormSaved& s, double eps) {
  parallel_ranges(s.rows, rows_per_task(4 * s.n), [&](Index begin, Index end) {
    kernels::row_kernels<T>().layer_norm(y + begin * s.n, s.mean.data<T>() + begin, s.rstd.data<T>() + begin,
                                         s.x.data<T>() + begin * s.n, data_or_null<T>(s.weight),
                                         data_or_null<T>(s.bias), static_cast<T>(eps), end - begin, s.n);
  });
}

// In differentiable operations.
Tensor expanded(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  Tensor y = scale(x, 1);
  if (x.dim(-1) > 0) {
    const Tensor centred = subtract(x, mean(x, std::vector<int>{-1}, true));
    const Tensor variance = mean(multiply(centred, centred), std::vector<int>{-1}, true);
    y = multiply(centred, power(add_scalar(variance, eps), -0.5));
  }
  if (weight) y = multiply(y, weight);
  return bias ? add(y, bias) : y;
}

}  // namespace

LayerNormSaved check_layer_norm(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_float(op, "x", x);
  check_min_rank(op, "x", x, 1, "(..., n)");
  LayerNormSaved s;
  s.x = x, s.weight = weight, s.bias = bias, s.eps = eps;
  s.n = x.dim(-1);
  s.rows = x.shape().product(0, x.rank() - 1);
  for (const auto& [name, p] : {std::pair{"weight", &weight}, std::pair{"bias", &bias}}) {
    if (!*p) continue;
    check_float(op, name, *p);
    check_same_dtype(op, name, *p, "x", x);
    check_shape(op, name, *p, {s.n});
  }
  if (!(eps >= 0)) value_error(op, ": eps is ", eps, " but must be 0 or more");
  s.mean = Tensor::empty({s.rows}, x.dtype());
  s.rstd = Tensor::empty({s.rows}, x.dtype());
  return s;
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  LayerNormSaved s = check_layer_norm("layer_norm", x, weight, bias, eps);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float("layer_norm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (s.n > 0) layer_norm_forward<T>(y.data<T>(), s, eps);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record("layer_norm", {x, weight, bias}, {y}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({s.x, s.weight, s.bias}, d,
                                [&s](const Tensors& p) -> Tensors { return {expanded(p[0], p[1], p[2], s.eps)}; });
    }
    dispatch_float("layer_norm", "x", s.x, [&](auto zero) {
      using T = decltype(zero);
      Tensor d_x, d_weight, d_bias;
      if (s.weight && s.weight.requires_grad()) d_weight = Tensor::empty({s.n}, s.x.dtype());
      if (s.bias && s.bias.requires_grad()) d_bias = Tensor::empty({s.n}, s.x.dtype());
      // Written where it is to stay if that place is free.
      bool in_place = false;
      if (s.x.requires_grad()) {
        const GradTarget target = grad_target(s.x);
        in_place = !target.add;
        d_x = in_place ? target.buffer : Tensor::empty(s.x.shape(), s.x.dtype());
      }
      if (s.n > 0) {
        layer_norm_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight), data_or_null<T>(d_bias), d[0].data<T>(),
                               s, [](Index, Index) {});
      }
      if (!in_place) accumulate(s.x, d_x);
      accumulate(s.weight, d_weight);
      accumulate(s.bias, d_bias);
    });
  });
  return y;
}

}  // namespace attendo

// Batch norm: each channel over the batch and all positions
//
//   forward    x̂ = (x - μ_c) / σ_c,   σ_c = √(var_c + ε),      y = γ_c x̂ + β_c
//   backward   training     dx = γ (dy - mean(dy) - x̂ mean(dy x̂)) / σ
//              evaluation   dx = γ dy / σ
//              dγ = Σ dy x̂      dβ = Σ dy
//
// x, y: (B, C, positions).  The running variance is updated with Bessel's correction.   Ioffe and Szegedy 2015; 000 §4.3.
#include "ops/batch_norm.h"

#include <cmath>

#include "core/grad.h"
#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo {
namespace {

struct BatchNormSaved {
  Tensor x, weight, bias;
  Tensor mean, rstd;  // (C,)
  Index batch, channels, positions;
  bool training;
  double eps;
};

// body(first element of a run, length) for each sample's run of channel c.
template <typename Body>
void for_channel(const BatchNormSaved& s, Index c, const Body& body) {
  for (Index b = 0; b < s.batch; ++b) body((b * s.channels + c) * s.positions, s.positions);
}

template <typename T>
void batch_statistics(const BatchNormSaved& s, const Tensor& running_mean, const Tensor& running_var, double momentum,
                      double eps) {
  const T* x = s.x.data<T>();
  const Index count = s.batch * s.positions;
  parallel_for(s.channels, [&](Index c) {
    double mean = 0, square = 0;
    for_channel(s, c, [&](Index at, Index n) {
      for (Index i = at; i < at + n; ++i) mean += static_cast<double>(x[i]);
    });
    mean /= static_cast<double>(count);
    for_channel(s, c, [&](Index at, Index n) {
      for (Index i = at; i < at + n; ++i)
        square += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
    });
    s.mean.data<T>()[c] = static_cast<T>(mean);
    s.rstd.data<T>()[c] = static_cast<T>(1.0 / std::sqrt(square / static_cast<double>(count) + eps));
    if (running_mean) {
      T& m = running_mean.data<T>()[c];
      m = static_cast<T>((1 - momentum) * static_cast<double>(m) + momentum * mean);
    }
    if (running_var) {
      T& v = running_var.data<T>()[c];
      v = static_cast<T>((1 - momentum) * static_cast<double>(v) + momentum * square / static_cast<double>(count - 1));
    }
  });
}

template <typename T>
void batch_norm_forward(T* y, const BatchNormSaved& s) {
  const T* x = s.x.data<T>();
  parallel_for(s.channels, [&](Index c) {
    const T mean = s.mean.data<T>()[c], rstd = s.rstd.data<T>()[c];
    const T gamma = s.weight ? s.weight.data<T>()[c] : T(1);
    const T beta = s.bias ? s.bias.data<T>()[c] : T(0);
    for_channel(s, c, [&](Index at, Index n) {
      for (Index i = at; i < at + n; ++i) y[i] = (x[i] - mean) * rstd * gamma + beta;
    });
  });
}

template <typename T>
void batch_norm_backward(T* d_x, T* d_gamma, T* d_beta, const T* d_y, const BatchNormSaved& s) {
  const T* x = s.x.data<T>();
  const double count = static_cast<double>(s.batch * s.positions);
  parallel_for(s.channels, [&](Index c) {
    const T mean = s.mean.data<T>()[c], rstd = s.rstd.data<T>()[c];
    const T gamma = s.weight ? s.weight.data<T>()[c] : T(1);
    double sum = 0, sum_x = 0;
    for_channel(s, c, [&](Index at, Index n) {
      for (Index i = at; i < at + n; ++i) {
        sum += static_cast<double>(d_y[i]);
        sum_x += static_cast<double>(d_y[i] * ((x[i] - mean) * rstd));
      }
    });
    if (d_gamma != nullptr) d_gamma[c] = static_cast<T>(sum_x);
    if (d_beta != nullptr) d_beta[c] = static_cast<T>(sum);
    if (d_x == nullptr) return;
    const T mean_dy = s.training ? static_cast<T>(sum / count) : T(0);
    const T mean_dyx = s.training ? static_cast<T>(sum_x / count) : T(0);
    for_channel(s, c, [&](Index at, Index n) {
      for (Index i = at; i < at + n; ++i) {
        d_x[i] = gamma * rstd * (d_y[i] - mean_dy - (x[i] - mean) * rstd * mean_dyx);
      }
    });
  });
}

// In differentiable operations.
Tensor expanded(const Tensor& x, const Tensor& weight, const Tensor& bias, const BatchNormSaved& s) {
  const Shape channel{1, s.channels, 1};
  Tensor y = reshape(x, {s.batch, s.channels, s.positions});
  if (s.training) {
    y = subtract(y, mean(y, std::vector<int>{0, 2}, true));
    y = multiply(y, power(add_scalar(mean(multiply(y, y), std::vector<int>{0, 2}, true), s.eps), -0.5));
  } else {
    y = multiply(subtract(y, s.mean.view(channel)), s.rstd.view(channel));
  }
  if (weight) y = multiply(y, reshape(weight, channel));
  if (bias) y = add(y, reshape(bias, channel));
  return reshape(y, x.shape());
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, double momentum, double eps) {
  check_float("batch_norm", "x", x);
  check_min_rank("batch_norm", "x", x, 2, "(B, C, ...)");
  BatchNormSaved s;
  s.x = x, s.weight = weight, s.bias = bias, s.training = training, s.eps = eps;
  s.batch = x.dim(0), s.channels = x.dim(1), s.positions = x.shape().product(2, x.rank());
  for (const auto& [name, p] : {std::pair{"weight", &weight}, std::pair{"bias", &bias},
                                std::pair{"running_mean", &running_mean}, std::pair{"running_var", &running_var}}) {
    if (!*p) continue;
    check_float("batch_norm", name, *p);
    check_same_dtype("batch_norm", name, *p, "x", x);
    check_shape("batch_norm", name, *p, {s.channels});
  }
  if (!training && !(running_mean && running_var)) {
    value_error("batch_norm: running_mean and running_var are needed when training is False");
  }
  if (training && s.batch * s.positions < 2) {
    value_error("batch_norm: x has shape ", x.shape(), "; training needs more than one value a channel");
  }
  if (!(eps > 0)) value_error("batch_norm: eps is ", eps, " but must be more than 0");
  if (!(momentum >= 0 && momentum <= 1)) value_error("batch_norm: momentum is ", momentum, " but must be 0 to 1");
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  s.mean = Tensor::empty({s.channels}, x.dtype());
  s.rstd = Tensor::empty({s.channels}, x.dtype());
  dispatch_float("batch_norm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (training) {
      batch_statistics<T>(s, running_mean, running_var, momentum, eps);
    } else {
      for (Index c = 0; c < s.channels; ++c) {
        s.mean.data<T>()[c] = running_mean.data<T>()[c];
        s.rstd.data<T>()[c] = static_cast<T>(1.0 / std::sqrt(static_cast<double>(running_var.data<T>()[c]) + eps));
      }
    }
    batch_norm_forward<T>(y.data<T>(), s);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record("batch_norm", {x, weight, bias}, {y}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({s.x, s.weight, s.bias}, d,
                                [&s](const Tensors& p) -> Tensors { return {expanded(p[0], p[1], p[2], s)}; });
    }
    Tensor d_x, d_weight, d_bias;
    if (s.x.requires_grad()) d_x = Tensor::empty(s.x.shape(), s.x.dtype());
    if (s.weight && s.weight.requires_grad()) d_weight = Tensor::empty({s.channels}, s.x.dtype());
    if (s.bias && s.bias.requires_grad()) d_bias = Tensor::empty({s.channels}, s.x.dtype());
    dispatch_float("batch_norm", "x", s.x, [&](auto zero) {
      using T = decltype(zero);
      batch_norm_backward<T>(d_x ? d_x.data<T>() : nullptr, d_weight ? d_weight.data<T>() : nullptr,
                             d_bias ? d_bias.data<T>() : nullptr, d[0].data<T>(), s);
    });
    accumulate(s.x, d_x);
    accumulate(s.weight, d_weight);
    accumulate(s.bias, d_bias);
  });
  return y;
}

}  // namespace attendo

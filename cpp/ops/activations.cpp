// Activations, element by element
//
//   relu      y = max(x, 0)                                  dx = dy [x > 0]
//   gelu      y = x Φ(x),  Φ(x) = (1 + erf(x/√2)) / 2        dx = dy (Φ(x) + x φ(x)),  φ(x) = exp(-x²/2) / √(2π)
//   gelu~     y = x (1 + tanh u) / 2,  u = √(2/π)(x + 0.044715 x³)
//             dx = dy ((1 + tanh u) / 2 + x (1 - tanh² u) u' / 2),  u' = √(2/π)(1 + 0.134145 x²)
//   tanh      y = tanh x                                     dx = dy (1 - y²)
//   sigmoid   y = 1 / (1 + exp(-x))                          dx = dy y (1 - y)
//   silu      y = x σ(x)                                     dx = dy (σ(x) + x σ'(x))
//   gelu≈     y = x σ(1.702 x)                               dx = dy (σ(u) + u σ'(u)),  u = 1.702 x
//   softplus  y = log(1 + exp(x))                            dx = dy σ(x)
//
// With the tape on, dx is made of these functions, exp and Φ (Φ' = φ), and has a gradient in turn.
//
// Hendrycks and Gimpel 2016 (gelu, eq. 2; gelu≈, §2); Elfwing et al. 2018 (silu); Dugas et al. 2001 (softplus);
// articles 000 §5.2, 004 §2.1.
#include "ops/activations.h"

#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "kernels/gates.h"
#include "kernels/rows.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kGrain = 1 << 14;

template <typename T>
void relu_forward(T* y, const T* x, Index n) {
  // Written so that NaN stays NaN.
  for (Index i = 0; i < n; ++i) y[i] = x[i] < T(0) ? T(0) : x[i];
}
template <typename T>
void relu_backward(T* d_x, const T* d_y, const T* x, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T g = d_y[i];  // read whatever x is: a load behind a condition keeps the loop from being vectorised
    d_x[i] = x[i] > T(0) ? g : T(0);
  }
}

template <typename T>
void gelu_forward(T* y, const T* x, Index n) {
  kernels::row_kernels<T>().gelu(y, x, n);
}
template <typename T>
void gelu_backward(T* d_x, const T* d_y, const T* x, Index n) {
  kernels::row_kernels<T>().gelu_backward(d_x, d_y, x, n);
}

template <typename T>
void gelu_tanh_forward(T* y, const T* x, Index n) {
  kernels::row_kernels<T>().gelu_tanh(y, x, n);
}
template <typename T>
void gelu_tanh_backward(T* d_x, const T* d_y, const T* x, Index n) {
  kernels::row_kernels<T>().gelu_tanh_backward(d_x, d_y, x, n);
}

template <typename T>
void tanh_forward(T* y, const T* x, Index n) {
  kernels::row_kernels<T>().tanh(y, x, n);
}
template <typename T>
void tanh_backward(T* d_x, const T* d_y, const T* y, Index n) {
  for (Index i = 0; i < n; ++i) d_x[i] = d_y[i] * (T(1) - y[i] * y[i]);
}

template <typename T>
void sigmoid_forward(T* y, const T* x, Index n) {
  kernels::row_kernels<T>().sigmoid(y, x, n);
}
template <typename T>
void sigmoid_backward(T* d_x, const T* d_y, const T* y, Index n) {
  for (Index i = 0; i < n; ++i) d_x[i] = d_y[i] * y[i] * (T(1) - y[i]);
}

template <typename T>
void softplus_forward(T* y, const T* x, Index n) {
  for (Index i = 0; i < n; ++i) y[i] = (x[i] < T(0) ? T(0) : x[i]) + std::log1p(std::exp(-std::abs(x[i])));
}
template <typename T>
void softplus_backward(T* d_x, const T* d_y, const T* x, Index n) {
  kernels::row_kernels<T>().sigmoid(d_x, x, n);
  for (Index i = 0; i < n; ++i) d_x[i] *= d_y[i];
}

enum class Keep { kInput, kOutput };  // what the backward function reads

// forward(y, x, n) and backward(dx, dy, kept, n), called with T = float or double; slope(dy, x): dx on the tape.
template <typename Forward, typename Backward, typename Slope>
Tensor elementwise(const char* op, const Tensor& x, Keep keep, const Forward& forward, const Backward& backward,
                   const Slope& slope) {
  check_float(op, "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    T* out = y.data<T>();
    const T* in = x.data<T>();
    parallel_ranges(x.size(), kGrain, [&](Index begin, Index end) { forward(out + begin, in + begin, end - begin); });
  });
  if (!needs_grad({&x})) return y;
  record(op, {x}, {y}, Twice::kYes,
         [op, x, kept = keep == Keep::kInput ? x : y.detach(), backward, slope](const Tensors& d) {
           if (grad_enabled()) {
             accumulate(x, slope(d[0], x));
             return;
           }
           Tensor d_x = Tensor::empty(x.shape(), x.dtype());
           dispatch_float(op, "x", x, [&](auto zero) {
             using T = decltype(zero);
             T* out = d_x.data<T>();
             const T* d_y = d[0].data<T>();
             const T* saved = kept.template data<T>();
             parallel_ranges(x.size(), kGrain, [&](Index begin, Index end) {
               backward(out + begin, d_y + begin, saved + begin, end - begin);
             });
           });
           accumulate(x, d_x);
         });
  return y;
}

// φ
Tensor normal_density(const Tensor& x) {
  return scale(exp(scale(multiply(x, x), -0.5)), std::numbers::inv_sqrtpi / std::numbers::sqrt2);
}

// Φ
Tensor normal_distribution(const Tensor& x) {
  return elementwise(
      "gelu", x, Keep::kInput,
      [](auto* y, const auto* in, Index n) {
        using T = std::remove_reference_t<decltype(*y)>;
        for (Index i = 0; i < n; ++i) y[i] = std::erfc(-in[i] / std::numbers::sqrt2_v<T>) / T(2);
      },
      [](auto* d_x, const auto* d_y, const auto* in, Index n) {
        using T = std::remove_reference_t<decltype(*d_x)>;
        constexpr T kFactor = std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>;
        for (Index i = 0; i < n; ++i) d_x[i] = d_y[i] * kFactor * std::exp(-in[i] * in[i] / T(2));
      },
      [](const Tensor& d_y, const Tensor& in) { return multiply(d_y, normal_density(in)); });
}

Tensor one_minus(const Tensor& x) { return add_scalar(scale(x, -1), 1); }

Tensor gelu_tanh_slope(const Tensor& d_y, const Tensor& x) {
  const double factor = std::sqrt(2 / std::numbers::pi), cubic = 0.044715;
  const Tensor square = multiply(x, x);
  const Tensor t = tanh(multiply(scale(x, factor), add_scalar(scale(square, cubic), 1)));
  const Tensor d_u = multiply(scale(x, factor / 2), add_scalar(scale(square, 3 * cubic), 1));
  return multiply(d_y, add(scale(add_scalar(t, 1), 0.5), multiply(one_minus(multiply(t, t)), d_u)));
}

Tensor silu_slope(const Tensor& d_y, const Tensor& x) {
  const Tensor s = sigmoid(x);
  return multiply(d_y, multiply(s, add_scalar(multiply(x, one_minus(s)), 1)));
}

}  // namespace

Tensor relu(const Tensor& x) {
  return elementwise(
      "relu", x, Keep::kInput, [](auto* y, const auto* in, Index n) { relu_forward(y, in, n); },
      [](auto* d_x, const auto* d_y, const auto* in, Index n) { relu_backward(d_x, d_y, in, n); },
      [](const Tensor& d_y, const Tensor& in) {
        const Tensor positive = Tensor::empty(in.shape(), DType::kBool);
        dispatch_float("relu", "x", in, [&](auto zero) {
          using T = decltype(zero);
          for (Index i = 0; i < in.size(); ++i) positive.data<bool>()[i] = in.data<T>()[i] > T(0);
        });
        return select(d_y, positive);
      });
}

Tensor gelu(const Tensor& x, bool tanh_approximation) {
  if (tanh_approximation) {
    return elementwise(
        "gelu", x, Keep::kInput, [](auto* y, const auto* in, Index n) { gelu_tanh_forward(y, in, n); },
        [](auto* d_x, const auto* d_y, const auto* in, Index n) { gelu_tanh_backward(d_x, d_y, in, n); },
        gelu_tanh_slope);
  }
  return elementwise(
      "gelu", x, Keep::kInput, [](auto* y, const auto* in, Index n) { gelu_forward(y, in, n); },
      [](auto* d_x, const auto* d_y, const auto* in, Index n) { gelu_backward(d_x, d_y, in, n); },
      [](const Tensor& d_y, const Tensor& in) {
        return multiply(d_y, add(normal_distribution(in), multiply(in, normal_density(in))));
      });
}

Tensor tanh(const Tensor& x) {
  return elementwise(
      "tanh", x, Keep::kOutput, [](auto* y, const auto* in, Index n) { tanh_forward(y, in, n); },
      [](auto* d_x, const auto* d_y, const auto* out, Index n) { tanh_backward(d_x, d_y, out, n); },
      [](const Tensor& d_y, const Tensor& in) {
        const Tensor out = tanh(in);
        return multiply(d_y, one_minus(multiply(out, out)));
      });
}

Tensor sigmoid(const Tensor& x) {
  return elementwise(
      "sigmoid", x, Keep::kOutput, [](auto* y, const auto* in, Index n) { sigmoid_forward(y, in, n); },
      [](auto* d_x, const auto* d_y, const auto* out, Index n) { sigmoid_backward(d_x, d_y, out, n); },
      [](const Tensor& d_y, const Tensor& in) {
        const Tensor out = sigmoid(in);
        return multiply(d_y, multiply(out, one_minus(out)));
      });
}

Tensor silu(const Tensor& x) {
  return elementwise(
      "silu", x, Keep::kInput,
      [](auto* y, const auto* in, Index n) {
        kernels::gate_kernels<std::remove_reference_t<decltype(*y)>>().silu(y, in, n);
      },
      [](auto* d_x, const auto* d_y, const auto* in, Index n) {
        kernels::gate_kernels<std::remove_reference_t<decltype(*d_x)>>().silu_backward(d_x, d_y, in, n);
      },
      silu_slope);
}

Tensor quick_gelu(const Tensor& x) {
  return elementwise(
      "quick_gelu", x, Keep::kInput,
      [](auto* y, const auto* in, Index n) {
        kernels::gate_kernels<std::remove_reference_t<decltype(*y)>>().quick_gelu(y, in, n);
      },
      [](auto* d_x, const auto* d_y, const auto* in, Index n) {
        kernels::gate_kernels<std::remove_reference_t<decltype(*d_x)>>().quick_gelu_backward(d_x, d_y, in, n);
      },
      [](const Tensor& d_y, const Tensor& in) { return silu_slope(d_y, scale(in, 1.702)); });
}

Tensor softplus(const Tensor& x) {
  return elementwise(
      "softplus", x, Keep::kInput, [](auto* y, const auto* in, Index n) { softplus_forward(y, in, n); },
      [](auto* d_x, const auto* d_y, const auto* in, Index n) { softplus_backward(d_x, d_y, in, n); },
      [](const Tensor& d_y, const Tensor& in) { return multiply(d_y, sigmoid(in)); });
}

}  // namespace attendo

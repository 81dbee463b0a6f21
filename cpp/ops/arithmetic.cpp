// Arithmetic with NumPy's broadcasting
//
//   c = a + b     da = dc            db = dc
//   c = a - b     da = dc            db = -dc
//   c = a b       da = dc b          db = dc a
//   c = a / b     da = dc / b        db = -dc c / b
//   y = x^p       dx = dy p x^(p-1)
//   y = exp x     dx = dy y          y = log x   dx = dy / x          y = √x   dx = dy / (2 y)
//
// An operand that was broadcast gets the sum of its gradient over the axes it was repeated along. The gradients are made of
// these operations themselves, so that they have gradients as well.
#include "ops/arithmetic.h"

#include <cmath>

#include "core/parallel.h"
#include "kernels/rows.h"
#include "ops/gemm.h"
#include "ops/reduce.h"
#include "ops/xtensor.h"

namespace attendo {
namespace {

constexpr Index kGrain = 1 << 15;

// x repeated to `shape`.
Tensor repeat(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Tensor out = Tensor::empty(shape, x.dtype());
  if (out.size() == 0) return out;
  if (x.size() == 1) return Tensor::full(shape, x.dtype(), x.item());
  dispatch_float("broadcast", "x", x, [&](auto zero) {
    using T = decltype(zero);
    const auto in = adapt<T>(x);
    auto target = adapt<T>(out);
    const std::vector<size_t> dims(shape.begin(), shape.end());
    xt::noalias(target) = xt::broadcast(in, dims);
  });
  return out;
}

// out[i] = op(whole[i], b[i]), where b is (outer, 1, inner) and repeats along the middle axis.
template <typename T, typename Op>
void apply_repeated(T* out, const T* whole, const T* b, const Middle& m, const Op& op) {
  parallel_ranges(m.outer * m.count * m.inner, kGrain, [&](Index begin, Index end) {
    for (Index stop, i = begin; i < end; i = stop) {
      const Index outer = i / (m.count * m.inner);
      if (m.inner == 1) {
        stop = std::min(end, (outer + 1) * m.count);
        const T y = b[outer];
        for (Index k = i; k < stop; ++k) out[k] = op(whole[k], y);
        continue;
      }
      const Index j = i % m.inner;
      stop = std::min(end, i + m.inner - j);
      const T *x = whole + i, *y = b + outer * m.inner + j;
      T* z = out + i;
      for (Index k = 0; k < stop - i; ++k) z[k] = op(x[k], y[k]);
    }
  });
}

template <typename Op>
Tensor binary_forward(const char* name, const Tensor& a, const Tensor& b, const Op& op) {
  check_float(name, "a", a);
  check_float(name, "b", b);
  check_same_dtype(name, "b", b, "a", a);
  const Shape shape = broadcast_shapes(name, "a", a.shape(), "b", b.shape());
  Tensor out = Tensor::empty(shape, a.dtype());
  if (out.size() == 0) return out;
  Middle middle;
  dispatch_float(name, "a", a, [&](auto zero) {
    using T = decltype(zero);
    T* to = out.data<T>();
    if (a.size() < out.size() && b.size() == out.size() && repeats_middle(a.shape(), shape, middle)) {
      apply_repeated(to, b.data<T>(), a.data<T>(), middle, [&](T y, T x) { return op(x, y); });
      return;
    }
    if (b.size() < out.size() && a.size() == out.size() && repeats_middle(b.shape(), shape, middle)) {
      apply_repeated(to, a.data<T>(), b.data<T>(), middle, op);
      return;
    }
    const Tensor left = a.size() == out.size() ? a : repeat(a, shape);
    const Tensor right = b.size() == out.size() ? b : repeat(b, shape);
    const T *x = left.data<T>(), *y = right.data<T>();
    parallel_ranges(out.size(), kGrain, [=](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) to[i] = op(x[i], y[i]);
    });
  });
  return out;
}

struct Add {
  template <typename T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Subtract {
  template <typename T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Multiply {
  template <typename T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Divide {
  template <typename T>
  T operator()(T a, T b) const {
    return a / b;
  }
};

template <typename Op>
Tensor map(const char* name, const Tensor& x, const Op& op) {
  check_float(name, "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(name, "x", x, [&](auto zero) {
    using T = decltype(zero);
    T* out = y.data<T>();
    const T* in = x.data<T>();
    parallel_ranges(x.size(), kGrain, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) out[i] = static_cast<T>(op(in[i]));
    });
  });
  return y;
}

Tensor sum_repeated(const Tensor& grad, const Shape& shape) {
  Tensor out = Tensor::zeros(shape, grad.dtype());
  if (grad.size() == 0) return out;
  const Index n = out.size();
  Middle middle;
  dispatch_float("sum_to_shape", "grad", grad, [&](auto zero) {
    using T = decltype(zero);
    const T* in = grad.data<T>();
    T* sum = out.data<T>();
    if (repeats_middle(shape, grad.shape(), middle)) {
      sum_middle(sum, in, middle);
      return;
    }
    // Any other pattern: walk the gradient in order, stepping through `out` with stride 0 along repeated axes. The sums
    // are doubles: they may have a million terms.
    const int rank = grad.rank();
    std::array<Index, kMaxRank> stride{}, at{};
    Index step = 1;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const int own = axis - (rank - shape.rank());
      if (own < 0) continue;
      stride[static_cast<size_t>(axis)] = shape[own] == 1 ? 0 : step;
      step *= shape[own];
    }
    Scratch<double> total(static_cast<size_t>(n));
    std::fill_n(total.get(), n, 0.0);
    Index offset = 0;
    for (Index i = 0; i < grad.size(); ++i) {
      total.get()[offset] += static_cast<double>(in[i]);
      for (int axis = rank - 1; axis >= 0; --axis) {
        const auto k = static_cast<size_t>(axis);
        offset += stride[k];
        if (++at[k] < grad.dim(axis)) break;
        offset -= stride[k] * at[k];
        at[k] = 0;
      }
    }
    std::transform(total.get(), total.get() + n, sum, [](double value) { return static_cast<T>(value); });
  });
  return out;
}

}  // namespace

Tensor sum_to_shape(const Tensor& grad, const Shape& shape) {
  if (grad.shape() == shape) return grad;
  Tensor out = sum_repeated(grad, shape);
  if (!needs_grad({&grad})) return out;
  record("sum_to_shape", {grad}, {out}, Twice::kYes,
         [grad](const Tensors& d) { accumulate(grad, broadcast_to(d[0], grad.shape())); });
  return out;
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Tensor out = repeat(x, shape);
  if (!needs_grad({&x})) return out;
  record("broadcast_to", {x}, {out}, Twice::kYes,
         [x](const Tensors& d) { accumulate(x, sum_to_shape(d[0], x.shape())); });
  return out;
}

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor c = binary_forward("add", a, b, Add());
  if (!needs_grad({&a, &b})) return c;
  record("add", {a, b}, {c}, Twice::kYes, [a, b](const Tensors& d) {
    if (a.requires_grad()) accumulate(a, sum_to_shape(d[0], a.shape()));
    if (b.requires_grad()) accumulate(b, sum_to_shape(d[0], b.shape()));
  });
  return c;
}

Tensor subtract(const Tensor& a, const Tensor& b) {
  Tensor c = binary_forward("subtract", a, b, Subtract());
  if (!needs_grad({&a, &b})) return c;
  record("subtract", {a, b}, {c}, Twice::kYes, [a, b](const Tensors& d) {
    if (a.requires_grad()) accumulate(a, sum_to_shape(d[0], a.shape()));
    if (b.requires_grad()) accumulate(b, sum_to_shape(scale(d[0], -1), b.shape()));
  });
  return c;
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  Tensor c = binary_forward("multiply", a, b, Multiply());
  if (!needs_grad({&a, &b})) return c;
  record("multiply", {a, b}, {c}, Twice::kYes, [a, b](const Tensors& d) {
    if (a.requires_grad()) accumulate(a, sum_to_shape(multiply(d[0], b), a.shape()));
    if (b.requires_grad()) accumulate(b, sum_to_shape(multiply(d[0], a), b.shape()));
  });
  return c;
}

Tensor divide(const Tensor& a, const Tensor& b) {
  Tensor c = binary_forward("divide", a, b, Divide());
  if (!needs_grad({&a, &b})) return c;
  record("divide", {a, b}, {c}, Twice::kYes, [a, b, saved = c.detach()](const Tensors& d) {
    const Tensor d_a = divide(d[0], b);
    if (a.requires_grad()) accumulate(a, sum_to_shape(d_a, a.shape()));
    if (!b.requires_grad()) return;
    const Tensor quotient = grad_enabled() ? divide(a, b) : saved;
    accumulate(b, sum_to_shape(scale(multiply(d_a, quotient), -1), b.shape()));
  });
  return c;
}

Tensor scale(const Tensor& x, double factor) {
  Tensor y = map("scale", x, [factor](auto v) { return v * static_cast<decltype(v)>(factor); });
  if (!needs_grad({&x})) return y;
  record("scale", {x}, {y}, Twice::kYes, [x, factor](const Tensors& d) { accumulate(x, scale(d[0], factor)); });
  return y;
}

Tensor add_scalar(const Tensor& x, double value) {
  Tensor y = map("add", x, [value](auto v) { return v + static_cast<decltype(v)>(value); });
  if (!needs_grad({&x})) return y;
  record("add", {x}, {y}, Twice::kYes, [x](const Tensors& d) { accumulate(x, d[0]); });
  return y;
}

Tensor power(const Tensor& x, double exponent) {
  Tensor y = map("power", x, [exponent](auto v) { return std::pow(v, static_cast<decltype(v)>(exponent)); });
  if (!needs_grad({&x})) return y;
  record("power", {x}, {y}, Twice::kYes, [x, exponent](const Tensors& d) {
    if (exponent == 0) {
      accumulate(x, Tensor::zeros(x.shape(), x.dtype()));
    } else if (grad_enabled()) {
      accumulate(x, multiply(d[0], scale(power(x, exponent - 1), exponent)));
    } else {
      const Tensor slope = map("power", x, [exponent](auto v) {
        using T = decltype(v);
        return static_cast<T>(exponent) * std::pow(v, static_cast<T>(exponent - 1));
      });
      accumulate(x, multiply(d[0], slope));
    }
  });
  return y;
}

Tensor exp(const Tensor& x) {
  check_float("exp", "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float("exp", "x", x, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(x.size(), kGrain, [&](Index begin, Index end) {
      kernels::row_kernels<T>().exp(y.data<T>() + begin, x.data<T>() + begin, end - begin);
    });
  });
  if (!needs_grad({&x})) return y;
  record("exp", {x}, {y}, Twice::kYes,
         [x, saved = y.detach()](const Tensors& d) { accumulate(x, multiply(d[0], grad_enabled() ? exp(x) : saved)); });
  return y;
}

Tensor log(const Tensor& x) {
  Tensor y = map("log", x, [](auto v) { return std::log(v); });
  if (!needs_grad({&x})) return y;
  record("log", {x}, {y}, Twice::kYes, [x](const Tensors& d) { accumulate(x, divide(d[0], x)); });
  return y;
}

Tensor sqrt(const Tensor& x) {
  Tensor y = map("sqrt", x, [](auto v) { return std::sqrt(v); });
  if (!needs_grad({&x})) return y;
  record("sqrt", {x}, {y}, Twice::kYes, [x, saved = y.detach()](const Tensors& d) {
    accumulate(x, scale(divide(d[0], grad_enabled() ? sqrt(x) : saved), 0.5));
  });
  return y;
}

}  // namespace attendo

// softmax over one axis, and its logarithm
//
//   softmax       y_j  = exp(x_j - m) / Σ_k exp(x_k - m),   m = max_k x_k
//   backward      dx_j = y_j (dy_j - Σ_k dy_k y_k)
//
//   log softmax   y_j  = x_j - log Σ_k exp(x_k)
//   backward      dx_j = dy_j - exp(y_j) Σ_k dy_k
//
// x, y, dy, dx: (rows, n).  A row of -inf gives zeros.   Vaswani et al. 2017, eq. 1; article 001 §4.2.
#include "ops/softmax.h"

#include "core/parallel.h"
#include "kernels/rows.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo {

template <typename T>
void softmax_forward(T* y, const T* x, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(8 * n), [=](Index begin, Index end) {
    kernels::row_kernels<T>().softmax(y + begin * n, x + begin * n, end - begin, n);
  });
}

template <typename T>
void softmax_backward(T* d_x, const T* d_y, const T* y, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(4 * n), [=](Index begin, Index end) {
    kernels::row_kernels<T>().softmax_backward(d_x + begin * n, d_y + begin * n, y + begin * n, end - begin, n);
  });
}

template void softmax_forward(float*, const float*, Index, Index);
template void softmax_forward(double*, const double*, Index, Index);
template void softmax_backward(float*, const float*, const float*, Index, Index);
template void softmax_backward(double*, const double*, const double*, Index, Index);

namespace {

template <typename T>
void log_softmax_forward(T* y, const T* x, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(8 * n), [=](Index begin, Index end) {
    kernels::row_kernels<T>().log_softmax(y + begin * n, x + begin * n, end - begin, n);
  });
}

template <typename T>
void log_softmax_backward(T* d_x, const T* d_y, const T* y, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(8 * n), [=](Index begin, Index end) {
    kernels::row_kernels<T>().log_softmax_backward(d_x + begin * n, d_y + begin * n, y + begin * n, end - begin, n);
  });
}

// Moves `axis` to the end, applies `last`, moves it back.
template <typename Last>
Tensor over_axis(const char* op, const Tensor& x, int axis, const Last& last) {
  check_float(op, "x", x);
  check_min_rank(op, "x", x, 1, "");
  axis = normalize_axis(op, axis, x.rank());
  if (x.size() == 0) return scale(x, 1);  // nothing to visit, however long the other axes are
  if (axis == x.rank() - 1) return last(x);
  if (x.shape().product(axis + 1, x.rank()) == 1) {
    // Behind it are axes of length 1 only: nothing has to be moved.
    return reshape(last(reshape(x, x.shape().slice(0, axis + 1))), x.shape());
  }
  return swap_axes(last(swap_axes(x, axis, -1)), axis, -1);
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return over_axis("softmax", x, axis, [](const Tensor& in) {
    const Index n = in.dim(-1);
    const Index rows = in.shape().product(0, in.rank() - 1);
    Tensor y = Tensor::empty(in.shape(), in.dtype());
    dispatch_float("softmax", "x", in, [&](auto zero) {
      using T = decltype(zero);
      softmax_forward<T>(y.data<T>(), in.data<T>(), rows, n);
    });
    if (!needs_grad({&in})) return y;
    record("softmax", {in}, {y}, Twice::kYes, [in, saved = y.detach(), rows, n](const Tensors& d) {
      if (grad_enabled()) {
        const Tensor again = softmax(in);
        accumulate(in, multiply(again, subtract(d[0], sum(multiply(d[0], again), std::vector<int>{-1}, true))));
        return;
      }
      Tensor d_x = Tensor::empty(saved.shape(), saved.dtype());
      dispatch_float("softmax", "x", saved, [&](auto zero) {
        using T = decltype(zero);
        softmax_backward<T>(d_x.data<T>(), d[0].data<T>(), saved.data<T>(), rows, n);
      });
      accumulate(in, d_x);
    });
    return y;
  });
}

Tensor log_softmax(const Tensor& x, int axis) {
  return over_axis("log_softmax", x, axis, [](const Tensor& in) {
    const Index n = in.dim(-1);
    const Index rows = in.shape().product(0, in.rank() - 1);
    Tensor y = Tensor::empty(in.shape(), in.dtype());
    dispatch_float("log_softmax", "x", in, [&](auto zero) {
      using T = decltype(zero);
      log_softmax_forward<T>(y.data<T>(), in.data<T>(), rows, n);
    });
    if (!needs_grad({&in})) return y;
    record("log_softmax", {in}, {y}, Twice::kYes, [in, saved = y.detach(), rows, n](const Tensors& d) {
      if (grad_enabled()) {
        accumulate(in, subtract(d[0], multiply(softmax(in), sum(d[0], std::vector<int>{-1}, true))));
        return;
      }
      Tensor d_x = Tensor::empty(saved.shape(), saved.dtype());
      dispatch_float("log_softmax", "x", saved, [&](auto zero) {
        using T = decltype(zero);
        log_softmax_backward<T>(d_x.data<T>(), d[0].data<T>(), saved.data<T>(), rows, n);
      });
      accumulate(in, d_x);
    });
    return y;
  });
}

}  // namespace attendo

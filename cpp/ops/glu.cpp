// Gated linear units
//
//   forward    x = [a | b],   y = a f(b)
//   backward   dx = [dy f(b) | dy a f'(b)]
//
// f: sigmoid (GLU), silu (SwiGLU), gelu or its form with tanh (GEGLU), relu (ReGLU), nothing (bilinear).
// x, dx: (rows, 2n).  a, b, y, dy: (rows, n).                    Dauphin et al. 2017, eq. 1; Shazeer 2020, eq. 5.
#include "ops/glu.h"

#include "core/grad.h"
#include "core/parallel.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo {
namespace {

template <typename T>
void glu_forward(T* y, const T* x, GateActivation f, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(10 * n), [&](Index begin, Index end) {
    kernels::gate_kernels<T>().glu(f, y + begin * n, x + 2 * begin * n, end - begin, n);
  });
}

template <typename T>
void glu_backward(T* d_x, const T* d_y, const T* x, GateActivation f, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(16 * n), [&](Index begin, Index end) {
    kernels::gate_kernels<T>().glu_backward(f, d_x + 2 * begin * n, d_y + begin * n, x + 2 * begin * n, end - begin, n);
  });
}

Tensor gate(const Tensor& b, GateActivation f) {
  switch (f) {
    case GateActivation::kSigmoid: return sigmoid(b);
    case GateActivation::kSilu: return silu(b);
    case GateActivation::kGelu: return gelu(b);
    case GateActivation::kGeluTanh: return gelu(b, true);
    case GateActivation::kRelu: return relu(b);
    case GateActivation::kNone: break;
  }
  return b;
}

}  // namespace

Tensor glu(const Tensor& x, GateActivation activation) {
  check_float("glu", "x", x);
  check_min_rank("glu", "x", x, 1, "(..., 2n)");
  if (x.dim(-1) % 2 != 0) value_error("glu: x has ", x.dim(-1), " features but must have an even number");
  const Index n = x.dim(-1) / 2, rows = x.shape().product(0, x.rank() - 1);
  Shape shape = x.shape();
  shape[-1] = n;
  Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float("glu", "x", x, [&](auto zero) {
    using T = decltype(zero);
    glu_forward<T>(y.data<T>(), x.data<T>(), activation, rows, n);
  });
  if (!needs_grad({&x})) return y;
  record("glu", {x}, {y}, Twice::kYes, [x, activation, rows, n](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({x}, d, [activation, n](const Tensors& p) -> Tensors {
        const int last = p[0].rank() - 1;
        return {multiply(take(p[0], last, 0, n), gate(take(p[0], last, n, 2 * n), activation))};
      });
    }
    const Tensor d_x = Tensor::empty(x.shape(), x.dtype());
    dispatch_float("glu", "x", x, [&](auto zero) {
      using T = decltype(zero);
      glu_backward<T>(d_x.data<T>(), d[0].data<T>(), x.data<T>(), activation, rows, n);
    });
    accumulate(x, d_x);
  });
  return y;
}

}  // namespace attendo

// Silu, quick gelu and gated linear units over flat arrays and rows. One thread each.
#pragma once

#include <cstddef>

namespace attendo::kernels {

using std::ptrdiff_t;

enum class GateActivation : unsigned char { kNone, kSigmoid, kSilu, kGelu, kGeluTanh, kRelu };

// The formulas stand in ops/activations.cpp and ops/glu.cpp.
template <typename T>
struct GateKernels {
  void (*silu)(T* y, const T* x, ptrdiff_t n);
  void (*silu_backward)(T* dx, const T* dy, const T* x, ptrdiff_t n);
  void (*quick_gelu)(T* y, const T* x, ptrdiff_t n);
  void (*quick_gelu_backward)(T* dx, const T* dy, const T* x, ptrdiff_t n);

  // x (rows, 2 n) = [a | b], y (rows, n) = a f(b); dx = [dy f(b) | dy a f'(b)].
  void (*glu)(GateActivation f, T* y, const T* x, ptrdiff_t rows, ptrdiff_t n);
  void (*glu_backward)(GateActivation f, T* dx, const T* dy, const T* x, ptrdiff_t rows, ptrdiff_t n);
};

template <typename T>
const GateKernels<T>& gate_kernels();

}  // namespace attendo::kernels

// Convolution with few channels: a row of the output as a weighted sum of shifted rows of the input. One thread each.
#pragma once

#include <cstddef>

namespace attendo::kernels {

using std::ptrdiff_t;

template <typename T>
struct TapKernels {
  // y[i, j] = start + Σ_t weight[t] x[offset[t] + i·x_row + j],   i < rows, j < n
  void (*sum)(T* y, ptrdiff_t y_row, T start, const T* x, ptrdiff_t x_row, const T* weight, const ptrdiff_t* offset,
              ptrdiff_t taps, ptrdiff_t rows, ptrdiff_t n);
  // d_weight[t] += Σ_ij d_y[i, j] x[offset[t] + i·x_row + j]; sums of a few rows are added in double precision.
  void (*dot)(double* d_weight, const T* d_y, ptrdiff_t y_row, const T* x, ptrdiff_t x_row, const ptrdiff_t* offset,
              ptrdiff_t taps, ptrdiff_t rows, ptrdiff_t n);
};

template <typename T>
const TapKernels<T>& tap_kernels();

}  // namespace attendo::kernels

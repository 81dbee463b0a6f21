// Rows divided by the root of their mean square. One thread.
#pragma once

#include <cstddef>

namespace attendo::kernels {

using std::ptrdiff_t;

template <typename T>
struct RmsNormKernels {
  // y = x·rstd·weight over rows of n; weight may be null. Keeps rstd.
  void (*forward)(T* y, T* rstd, const T* x, const T* weight, T eps, ptrdiff_t rows, ptrdiff_t n);
  // dx may be null; d_weight (may be null) is added to.
  void (*backward)(T* dx, T* d_weight, const T* dy, const T* x, const T* rstd, const T* weight, ptrdiff_t rows,
                   ptrdiff_t n);
};

template <typename T>
const RmsNormKernels<T>& rms_norm_kernels();

}  // namespace attendo::kernels

// Few rows times the rows of a weight, on one thread: the weight is read once, as it lies, as fast as memory gives it.
//
//   y[i, j] = Σ_p x[i, p] w[j, p]                         (+ y[i, j])  (+ bias[j])
//   y[i, j] = Σ_g scale[j, g] Σ_{p in g} x[i, p] q[j, p]               (+ bias[j])      g: groups of kInt8Weights columns
//
// The sums of a row of y do not depend on how many rows there are, to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

inline constexpr std::ptrdiff_t kInt8Weights = 64;  // neighbours in a row of q that share a scale
static inline std::ptrdiff_t int8_groups(std::ptrdiff_t k) { return (k + kInt8Weights - 1) / kInt8Weights; }

template <typename T>
struct GemvTask {
  std::ptrdiff_t m = 0, n = 0, k = 0;
  const T* x = nullptr;  // (m, k), rows x_row apart
  std::ptrdiff_t x_row = 0;
  const T* w = nullptr;  // (n, k), rows w_row apart; or
  std::ptrdiff_t w_row = 0;
  const std::int8_t* q = nullptr;  // (n, k) without gaps, and
  const T* scale = nullptr;        // (n, int8_groups(k))
  T* y = nullptr;                  // (m, n), rows y_row apart
  std::ptrdiff_t y_row = 0;
  bool add = false;         // of w only
  const T* bias = nullptr;  // (n,), or null
};

template <typename T>
struct GemvKernels {
  void (*run)(const GemvTask<T>& task);
  void (*run_int8)(const GemvTask<T>& task);
  // w = scale q, rows [0, rows) of k columns.
  void (*dequantize)(T* w, const std::int8_t* q, const T* scale, std::ptrdiff_t rows, std::ptrdiff_t k);
};

template <typename T>
const GemvKernels<T>& gemv_kernels();

}  // namespace attendo::kernels

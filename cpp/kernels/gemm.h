// C = A·B on one thread: the micro-kernel that linear layers, attention tiles and convolutions share.
#pragma once

#include <cstddef>

namespace attendo::kernels {

// c[i, j] = Σ_p a[i, p] b[p, j]  (+ c[i, j])  (+ bias[j])  (then max(·, 0))
//
// a is read in place with any strides. b is either packed in panels by pack_b (b_row == 0), or row-major with n a
// multiple of `lanes` and row stride b_row.
template <typename T>
struct GemmTask {
  std::ptrdiff_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  std::ptrdiff_t a_row = 0, a_col = 0;
  const T* b = nullptr;
  std::ptrdiff_t b_row = 0;
  T* c = nullptr;
  std::ptrdiff_t c_row = 0;
  bool add = false;         // add to what c holds
  const T* bias = nullptr;  // (n,), or null
  bool relu = false;
};

template <typename T>
struct GemmKernels {
  std::ptrdiff_t lanes;  // elements of a vector
  std::ptrdiff_t panel;  // columns of a full panel of packed b
  void (*run)(const GemmTask<T>& task);
  // Packs columns [0, n) of b (k, n), element (p, j) at b[p·b_row + j·b_col], into panels: panel by panel, row by row,
  // the last panel padded with zeros to a multiple of `lanes`. Rows [p_begin, p_end) only, so that threads can share.
  void (*pack_b)(T* packed, const T* b, std::ptrdiff_t b_row, std::ptrdiff_t b_col, std::ptrdiff_t k, std::ptrdiff_t n,
                 std::ptrdiff_t p_begin, std::ptrdiff_t p_end);
  // y[i, j] = Σ_p a[i, p] w[j, p] (+ bias[j]) (then relu): rows of w are dotted with the few rows of a.
  void (*run_dot)(const T* a, std::ptrdiff_t a_row, std::ptrdiff_t m, const T* w, std::ptrdiff_t w_row,
                  std::ptrdiff_t n, std::ptrdiff_t k, T* y, std::ptrdiff_t y_row, bool add, const T* bias, bool relu);
};

template <typename T>
const GemmKernels<T>& gemm_kernels();

// Elements pack_b writes.
template <typename T>
std::ptrdiff_t packed_size(std::ptrdiff_t k, std::ptrdiff_t n) {
  const std::ptrdiff_t lanes = gemm_kernels<T>().lanes;
  return k * ((n + lanes - 1) / lanes * lanes);
}

}  // namespace attendo::kernels

// Whole numbers times whole numbers, on one thread: rows of eight-bit numbers by the rows of an int8 weight.
//
//   y_ij = s_i a_j Σ_p (q_ip - z_i) n_jp  (+ b_j)  =  s_i a_j (Σ_p q_ip n_jp - z_i Σ_p n_jp)  (+ b_j)
//
// s, z, q: of kernels/int8_inputs.h. The sums are int32, exact: the same bits on every instruction set, however many rows there are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/int8_inputs.h"

namespace attendo::kernels {

inline constexpr std::ptrdiff_t kInt8TileRows = 4;          // of q and
inline constexpr std::ptrdiff_t kInt8TileColumns = 4;       // of the weight that are multiplied at once
inline constexpr std::ptrdiff_t kInt8LongestRow = 1 << 16;  // 255 · 128 times so many fit an int32

template <typename T>
struct GemmInt8Task {
  std::ptrdiff_t m = 0, n = 0, k = 0;
  const std::uint8_t* q = nullptr;           // (m, int8_depth(k))
  const T* q_scale = nullptr;                // (m,)
  const std::int32_t* zero_point = nullptr;  // (m,)
  const std::int8_t* w = nullptr;            // (n, k)
  const T* w_scale = nullptr;                // (n,)
  const std::int64_t* w_sum = nullptr;       // (n,): of each row's numbers
  const T* bias = nullptr;                   // (n,), or null
  T* y = nullptr;                            // (m, n), rows y_row apart
  std::ptrdiff_t y_row = 0;
};

template <typename T>
struct GemmInt8Kernels {
  void (*run)(const GemmInt8Task<T>& task);
};

template <typename T>
const GemmInt8Kernels<T>& gemm_int8_kernels();

}  // namespace attendo::kernels

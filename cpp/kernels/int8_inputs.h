// What an int8 weight is multiplied with, rounded to whole numbers of eight bits, on one thread.
//
//   q_ip = clamp(round(x_ip / s_i) + z_i, 0, 255)      x_ip ≈ s_i (q_ip - z_i)
//   a row's own range:   s_i = (max(x_i, 0) - min(x_i, 0)) / 255      z_i = round(-min(x_i, 0) / s_i)
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

inline constexpr std::ptrdiff_t kInt8Depth = 64;  // a row of q is filled up with zeros to a multiple

static inline std::ptrdiff_t int8_depth(std::ptrdiff_t k) { return (k + kInt8Depth - 1) / kInt8Depth * kInt8Depth; }

struct Int8Range {
  double scale = 0;
  std::int32_t zero_point = 0;
};

template <typename T>
struct Int8InputKernels {
  // q (rows, int8_depth(k)), q_scale and zero_point (rows,) of x (rows, k): of the range given, or of each row's own when
  // that is null. A row of (nearly) zeros has the scale 0; one that holds NaN or inf has q = 0 and the scale NaN.
  void (*quantize)(std::uint8_t* q, T* q_scale, std::int32_t* zero_point, const T* x, std::ptrdiff_t rows,
                   std::ptrdiff_t k, const Int8Range* range);
};

template <typename T>
const Int8InputKernels<T>& int8_input_kernels();

}  // namespace attendo::kernels

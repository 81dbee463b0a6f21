// Loops over rows and flat arrays: softmax, log-sum-exp, layer norm, activations, dropout, Adam. One thread each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

using std::ptrdiff_t;

template <typename T>
struct RowKernels {
  // y[r, :] = softmax(x[r, :]); a row of -inf gives zeros.
  void (*softmax)(T* y, const T* x, ptrdiff_t rows, ptrdiff_t n);
  // dx = y (dy - Σ dy y)
  void (*softmax_backward)(T* dx, const T* dy, const T* y, ptrdiff_t rows, ptrdiff_t n);
  // y = x - log Σ exp x; a row of -inf stays one.
  void (*log_softmax)(T* y, const T* x, ptrdiff_t rows, ptrdiff_t n);
  // dx = dy - exp(y) Σ dy
  void (*log_softmax_backward)(T* dx, const T* dy, const T* y, ptrdiff_t rows, ptrdiff_t n);
  // log Σ exp(x[r, :])
  void (*log_sum_exp)(T* lse, const T* x, ptrdiff_t rows, ptrdiff_t n);
  // Σ (lse[r] - x[r, :])
  void (*sum_of_gaps)(T* gap, const T* x, const T* lse, ptrdiff_t rows, ptrdiff_t n);
  // dx[r, :] = (exp(x[r, :] - lse[r]) - smoothing) · scale[r]; rows with scale 0 give zeros. `stream`: past the cache.
  void (*softmax_minus)(T* dx, const T* x, const T* lse, const T* scale, T smoothing, bool stream, ptrdiff_t rows,
                        ptrdiff_t n);

  // y = (x - mean)·rstd·gamma + beta over rows of n; gamma and beta may be null. Keeps mean and rstd.
  void (*layer_norm)(T* y, T* mean, T* rstd, const T* x, const T* gamma, const T* beta, T eps, ptrdiff_t rows,
                     ptrdiff_t n);
  // dx may be null; d_gamma and d_beta (may be null) are added to.
  void (*layer_norm_backward)(T* dx, T* d_gamma, T* d_beta, const T* dy, const T* x, const T* mean, const T* rstd,
                              const T* gamma, ptrdiff_t rows, ptrdiff_t n);

  void (*exp)(T* y, const T* x, ptrdiff_t n);
  void (*tanh)(T* y, const T* x, ptrdiff_t n);
  void (*sigmoid)(T* y, const T* x, ptrdiff_t n);
  // The formulas stand in ops/activations.cpp.
  void (*gelu)(T* y, const T* x, ptrdiff_t n);
  void (*gelu_backward)(T* dx, const T* dy, const T* x, ptrdiff_t n);
  void (*gelu_tanh)(T* y, const T* x, ptrdiff_t n);
  void (*gelu_tanh_backward)(T* dx, const T* dy, const T* x, ptrdiff_t n);

  // y = keep(i) ? x·scale : 0 for elements first … first + n - 1 of the stream. The same call is its own backward.
  void (*dropout)(T* y, const T* x, std::uint64_t stream, std::uint64_t first, std::uint32_t drop_below, T scale,
                  ptrdiff_t n);
  // y = x + (what dropout makes of r).
  void (*add_dropout)(T* y, const T* x, const T* r, std::uint64_t stream, std::uint64_t first, std::uint32_t drop_below,
                      T scale, ptrdiff_t n);

  // One pass of Adam over a flat buffer; see train/optimizers.h for the formula.
  void (*adam)(T* w, T* m, T* v, const T* g, T rate, T beta1, T beta2, T eps, T rsqrt_correction2, T l2, T decay,
               T grad_scale, ptrdiff_t n);
  // The same without decay for rows of d of a table: w, m, v at ids[r], g at r.
  void (*adam_rows)(T* w, T* m, T* v, const T* g, const std::int64_t* ids, T rate, T beta1, T beta2, T eps,
                    T rsqrt_correction2, T grad_scale, ptrdiff_t rows, ptrdiff_t d);
};

template <typename T>
const RowKernels<T>& row_kernels();

// The random bits of element (row, column) of a stream, for dropout: an integer hash (lowbias32 by Wellons) in place of a
// generator's state, so that the backward pass makes the same bits again and any thread can make any of them.
static inline std::uint32_t mix_bits(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}
static inline std::uint32_t row_key(std::uint64_t stream, std::uint64_t row) {
  const std::uint32_t key = mix_bits(static_cast<std::uint32_t>(row) ^ static_cast<std::uint32_t>(stream));
  return mix_bits(key + static_cast<std::uint32_t>(stream >> 32) + 0x9E3779B9u * static_cast<std::uint32_t>(row >> 32));
}
static inline std::uint32_t random_bits(std::uint32_t key_of_row, std::uint32_t column) {
  return mix_bits((column * 0x9E3779B9u) ^ key_of_row);
}
// Elements of a flat array are laid out in rows of this many.
inline constexpr std::uint64_t kRandomRow = 65536;

}  // namespace attendo::kernels

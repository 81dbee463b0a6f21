// C = A·B on one thread: the micro-kernel that linear layers, attention tiles and convolutions share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

enum class Activation : unsigned char { kNone, kRelu, kGelu, kGeluTanh, kSilu };

// True where f' is taken from f's input: relu needs its output alone.
static inline bool needs_input(Activation f) { return f != Activation::kNone && f != Activation::kRelu; }

// What happens to the finished sums z[i, j] while they are still in the cache. Row i of an (m, n) array begins at i·n.
//
//   forward    c = drop(f(z)),            before = z
//   backward   c = drop(z) f'(gate)       with relu the gate may be f's output, dropped or not
template <typename T>
struct Epilogue {
  Activation activation = Activation::kNone;  // f: in a forward epilogue, applied
  T* before = nullptr;                        // (m, n) or null: written
  Activation gate_activation = Activation::kNone;
  const T* gate = nullptr;  // (m, n): f'(gate) multiplies
  // Element (i, j) is number i·n + j of the stream; n is a multiple of the vector's lanes.
  bool dropout = false;
  std::uint64_t stream = 0;
  std::uint32_t drop_below = 0;
  T keep_scale = 1;  // multiplies, also without dropout

  bool active() const {
    return needs_input(activation) || before != nullptr || gate != nullptr || dropout || keep_scale != T(1);
  }
};

// c[i, j] = Σ_p a[i, p] b[p, j]  (+ c[i, j])  (+ bias[j])  (then the epilogue)
//
// a is read in place with any strides, or copied first (a transposed a, whose columns would meet in few sets of the cache).
// b is either packed in panels by pack_b (b_row == 0), or row-major with n a
// multiple of `lanes` and row stride b_row.
template <typename T>
struct GemmTask {
  std::ptrdiff_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  std::ptrdiff_t a_row = 0, a_col = 0;
  T* a_scratch = nullptr;  // packed_rows_size elements: a is copied there block by block
  const T* b = nullptr;
  std::ptrdiff_t b_row = 0;
  T* c = nullptr;
  std::ptrdiff_t c_row = 0;
  bool add = false;         // add to what c holds
  const T* bias = nullptr;  // (n,), or null
  Epilogue<T> epilogue;
  std::ptrdiff_t row = 0, column = 0, columns = 0;  // this task's place in the epilogue's arrays, and their n
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
  // The epilogue alone, on what c holds.
  void (*finish)(const GemmTask<T>& task);
  // sum[j] += Σ_i x[i, j], rows added in blocks, whose sums are added: a million small numbers added one by one to a
  // large sum would be rounded away. `block`: n elements of scratch.
  void (*column_sum)(T* sum, T* block, const T* x, std::ptrdiff_t rows, std::ptrdiff_t n);
  // out += x
  void (*add_into)(T* out, const T* x, std::ptrdiff_t n);
};

template <typename T>
const GemmKernels<T>& gemm_kernels();

// Elements of a_scratch.
inline constexpr std::ptrdiff_t kGemmDepth = 512;    // a panel of so many rows of b stays in the second-level cache
inline constexpr std::ptrdiff_t kGemmRowBlock = 24;  // a multiple of every tile's rows
template <typename T>
std::ptrdiff_t packed_rows_size(std::ptrdiff_t m, std::ptrdiff_t k) {
  return (m + kGemmRowBlock - 1) / kGemmRowBlock * kGemmRowBlock * (k < kGemmDepth ? k : kGemmDepth);
}

// Elements pack_b writes.
template <typename T>
std::ptrdiff_t packed_size(std::ptrdiff_t k, std::ptrdiff_t n) {
  const std::ptrdiff_t lanes = gemm_kernels<T>().lanes;
  return k * ((n + lanes - 1) / lanes * lanes);
}

}  // namespace attendo::kernels

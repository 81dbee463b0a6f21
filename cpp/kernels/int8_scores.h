// Scores of rows quantised to eight bits: integer dot products of one head on one thread.
//
//   n = round(127 x / max|x|), -127 to 127, and x ≈ scale n,  scale = max|x| / 127      of each row
//   s_ij = (factor scale_i scale_j) Σ_c n_ic n_jc      the sum an int32, exact: the same bits on every instruction set
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

inline constexpr std::ptrdiff_t kInt8Keys = 64;            // keys of a panel
inline constexpr std::ptrdiff_t kInt8Rows = 4;             // queries of a tile
inline constexpr std::ptrdiff_t kInt8Group = 4;            // features that lie side by side
inline constexpr std::ptrdiff_t kInt8MaxFeatures = 65536;  // so that no sum overflows

inline constexpr std::ptrdiff_t kInt8Corrections = kInt8Keys * 4;  // bytes at the head of a panel

static inline std::ptrdiff_t int8_features(std::ptrdiff_t d) { return (d + kInt8Group - 1) / kInt8Group * kInt8Group; }
static inline std::ptrdiff_t int8_keys(std::ptrdiff_t keys) { return (keys + kInt8Keys - 1) / kInt8Keys * kInt8Keys; }
static inline std::ptrdiff_t int8_rows(std::ptrdiff_t rows) { return (rows + kInt8Rows - 1) / kInt8Rows * kInt8Rows; }
// Bytes of a panel.
static inline std::ptrdiff_t int8_panel(std::ptrdiff_t d) { return kInt8Corrections + int8_features(d) * kInt8Keys; }

template <typename T>
struct Int8Kernels {
  // n (rows, n_row >= d) and scale (rows,) of x; n behind column d stays as it is. Where a row holds NaN or inf, n is 0 and
  // its scale NaN; where it is (nearly) 0, both are 0.
  void (*quantize)(std::int8_t* n, std::ptrdiff_t n_row, T* scale, const T* x, std::ptrdiff_t x_row,
                   std::ptrdiff_t rows, std::ptrdiff_t d);
  // out[i, j] for the first `rows` of q (int8_rows(rows), int8_features(d)), zeros behind, and the first `keys` of packed,
  // rounded up to whole panels: out_row is that at least. q_factor: factor · scale_i.
  void (*scores)(T* out, std::ptrdiff_t out_row, const std::int8_t* q, const T* q_factor, std::ptrdiff_t rows,
                 const std::int8_t* packed, const T* k_scale, std::ptrdiff_t keys, std::ptrdiff_t d);
};

template <typename T>
const Int8Kernels<T>& int8_kernels();

// n (keys, n_row) -> panels of kInt8Keys keys: -128 Σ_c n_jc of each key as an int32, then (group of features, key, feature
// of the group); zeros fill up. int8_keys(keys) / kInt8Keys · int8_panel(d) bytes.
void int8_pack_keys(std::int8_t* packed, const std::int8_t* n, std::ptrdiff_t n_row, std::ptrdiff_t keys,
                    std::ptrdiff_t d);

}  // namespace attendo::kernels

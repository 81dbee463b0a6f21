#include "kernels/gemm_int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_int8.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

#if HWY_ONCE && defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef ATTENDO_KERNELS_GEMM_INT8_TILE_
#define ATTENDO_KERNELS_GEMM_INT8_TILE_
namespace attendo::kernels {
// sums (kInt8TileRows, kInt8TileColumns) of the first `rows` of q and `columns` of w; the others are not looked at.
using Int8Tile = void (*)(std::int32_t* sums, const std::uint8_t* q, std::ptrdiff_t rows, const std::int8_t* w,
                          std::ptrdiff_t columns, std::ptrdiff_t k);
namespace {
Int8Tile int8_tile();

// The rows of the weight of a tile; where there are fewer, the last again.
struct TileWeights {
  const std::int8_t* row[kInt8TileColumns];
  TileWeights(const std::int8_t* w, std::ptrdiff_t columns, std::ptrdiff_t k) {
    for (std::ptrdiff_t c = 0; c < kInt8TileColumns; ++c) row[c] = w + (c < columns ? c : columns - 1) * k;
  }
};
}  // namespace
}  // namespace attendo::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR
HWY_NOINLINE void Multiply(int32_t* sums, const uint8_t* q, Index rows, const int8_t* w, Index columns, Index k) {
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < columns; ++c) {
      int32_t sum = 0;
      for (Index p = 0; p < k; ++p) sum += q[r * int8_depth(k) + p] * w[c * k + p];
      sums[r * kInt8TileColumns + c] = sum;
    }
  }
}
#else
using Whole = hn::ScalableTag<int32_t>;
using Half = hn::ScalableTag<int16_t>;

// Eight-bit numbers are widened to sixteen, whose products are added in pairs: no sum saturates.
template <int kRows>
HWY_INLINE void MultiplyRows(int32_t* sums, const uint8_t* q, const TileWeights& w, Index k) {
  const Whole d;
  const Half half;
  const hn::ScalableTag<uint8_t> bytes;
  const hn::RebindToUnsigned<Half> unsigned_half;
  constexpr Index kBytes = kLanes<int8_t>;
  const Index depth = int8_depth(k);
  hn::Vec<Whole> sum[kRows][kInt8TileColumns], other[kRows][kInt8TileColumns];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kInt8TileColumns; ++c) sum[r][c] = other[r][c] = hn::Zero(d);
  }
  const auto add = [&](const int8_t* const* row, Index p, Index at) HWY_ATTR {
    hn::Vec<Half> even[kRows], odd[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto both = hn::BitCast(unsigned_half, hn::LoadU(bytes, q + r * depth + p));
      even[r] = hn::BitCast(half, hn::And(both, hn::Set(unsigned_half, 255)));
      odd[r] = hn::BitCast(half, hn::ShiftRight<8>(both));
    }
#pragma GCC unroll 4
    for (int c = 0; c < kInt8TileColumns; ++c) {
      const auto both = hn::BitCast(half, hn::LoadU(hn::ScalableTag<int8_t>(), row[c] + at));
      const auto w_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(both)), w_odd = hn::ShiftRight<8>(both);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        // Some sets put the sums in two vectors; which is where does not matter, all lanes are added in the end.
        sum[r][c] = hn::ReorderWidenMulAccumulate(d, even[r], w_even, sum[r][c], other[r][c]);
        sum[r][c] = hn::ReorderWidenMulAccumulate(d, odd[r], w_odd, sum[r][c], other[r][c]);
      }
    }
  };
  Index p = 0;
  for (; p + kBytes <= k; p += kBytes) add(w.row, p, p);
  if (p < k) {
    int8_t tail[kInt8TileColumns][kBytes] = {};
    const int8_t* row[kInt8TileColumns];
    for (Index c = 0; c < kInt8TileColumns; ++c) {
      __builtin_memcpy(tail[c], w.row[c] + p, static_cast<size_t>(k - p));
      row[c] = tail[c];
    }
    add(row, p, 0);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kInt8TileColumns; ++c) {
      sums[r * kInt8TileColumns + c] = hn::GetLane(hn::SumOfLanes(d, sum[r][c] + other[r][c]));
    }
  }
}

HWY_NOINLINE void Multiply(int32_t* sums, const uint8_t* q, Index rows, const int8_t* w, Index columns, Index k) {
  constexpr int kRows = HWY_TARGET == HWY_AVX3 ? 4 : 2;  // whose sums stay in registers
  const TileWeights weights(w, columns, k);
  const Index depth = int8_depth(k);
  Index r = 0;
  for (; r + kRows <= rows; r += kRows) {
    MultiplyRows<kRows>(sums + r * kInt8TileColumns, q + r * depth, weights, k);
  }
  for (; r < rows; ++r) MultiplyRows<1>(sums + r * kInt8TileColumns, q + r * depth, weights, k);
}
#endif

template <typename T>
HWY_NOINLINE void Run(const GemmInt8Task<T>& t) {
  constexpr Index kColumns = kInt8TileColumns;
  HWY_ALIGN int32_t sums[kInt8TileRows * kColumns] = {};
  const Int8Tile multiply = int8_tile();
  const Index depth = int8_depth(t.k);
  for (Index j = 0; j < t.n; j += kColumns) {
    const Index columns = Min(kColumns, t.n - j);
    uint32_t w_sum[kColumns] = {};
    T w_scale[kColumns] = {}, bias[kColumns] = {};
    for (Index c = 0; c < columns; ++c) {
      w_sum[c] = static_cast<uint32_t>(t.w_sum[j + c]);
      w_scale[c] = t.w_scale[j + c];
      if (t.bias != nullptr) bias[c] = t.bias[j + c];
    }
    for (Index i = 0; i < t.m; i += kInt8TileRows) {
      const Index rows = Min(kInt8TileRows, t.m - i);
      multiply(sums, t.q + i * depth, rows, t.w + j * t.k, columns, t.k);
      for (Index r = 0; r < rows; ++r) {
        const T scale = t.q_scale[i + r];
        const auto zero = static_cast<uint32_t>(t.zero_point[i + r]);
        T y[kColumns];
        for (Index c = 0; c < kColumns; ++c) {
          const auto whole = static_cast<int32_t>(static_cast<uint32_t>(sums[r * kColumns + c]) - zero * w_sum[c]);
          y[c] = static_cast<T>(whole) * (scale * w_scale[c]) + bias[c];
        }
        T* to = t.y + (i + r) * t.y_row + j;
        if (columns == kColumns) {
          __builtin_memcpy(to, y, sizeof y);
        } else {
          for (Index c = 0; c < columns; ++c) to[c] = y[c];
        }
      }
    }
  }
}

const GemmInt8Kernels<float>& TableFloat() {
  static constexpr GemmInt8Kernels<float> table = {Run<float>};
  return table;
}
const GemmInt8Kernels<double>& TableDouble() {
  static constexpr GemmInt8Kernels<double> table = {Run<double>};
  return table;
}
Int8Tile TableTile() { return Multiply; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/select.h"

namespace attendo::kernels {
namespace {

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define ATTENDO_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

constexpr std::ptrdiff_t kAhead = 16384;  // bytes, as in gemv.cpp

// Σ of the lanes of four vectors, one after the other.
ATTENDO_VNNI inline __m128i sum_of_four(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// The same sums with the instruction that adds four products of unsigned by signed numbers at once.
template <int kRows>
ATTENDO_VNNI inline void multiply_rows_vnni(std::int32_t* sums, const std::uint8_t* q, const TileWeights& w,
                                            std::ptrdiff_t k) {
  const std::ptrdiff_t depth = int8_depth(k);
  __m512i sum[kRows][kInt8TileColumns];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kInt8TileColumns; ++c) sum[r][c] = _mm512_setzero_si512();
  }
  for (std::ptrdiff_t p = 0; p < k; p += kInt8Depth) {
    const std::ptrdiff_t left = k - p;
    const __mmask64 valid = left >= kInt8Depth ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    __m512i weight[kInt8TileColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kInt8TileColumns; ++c) {
      weight[c] = _mm512_maskz_loadu_epi8(valid, w.row[c] + p);
      if (kRows == 1) __builtin_prefetch(w.row[c] + p + kAhead, 0, 2);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m512i number = _mm512_loadu_si512(q + r * depth + p);
#pragma GCC unroll 4
      for (int c = 0; c < kInt8TileColumns; ++c) sum[r][c] = _mm512_dpbusd_epi32(sum[r][c], number, weight[c]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + r * kInt8TileColumns),
                     sum_of_four(sum[r][0], sum[r][1], sum[r][2], sum[r][3]));
  }
}

ATTENDO_VNNI void multiply_vnni(std::int32_t* sums, const std::uint8_t* q, std::ptrdiff_t rows, const std::int8_t* w,
                                std::ptrdiff_t columns, std::ptrdiff_t k) {
  const TileWeights weights(w, columns, k);
  switch (rows) {
    case 1: multiply_rows_vnni<1>(sums, q, weights, k); break;
    case 2: multiply_rows_vnni<2>(sums, q, weights, k); break;
    case 3: multiply_rows_vnni<3>(sums, q, weights, k); break;
    default: multiply_rows_vnni<4>(sums, q, weights, k); break;
  }
}

bool has_vnni() {
  __builtin_cpu_init();
  return isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni");
}
#endif

Int8Tile tile_of_this_machine() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  if (has_vnni()) return multiply_vnni;
#endif
  ATTENDO_SELECT(TableTile);
}

Int8Tile int8_tile() {
  static const Int8Tile tile = tile_of_this_machine();
  return tile;
}

}  // namespace

template <>
const GemmInt8Kernels<float>& gemm_int8_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const GemmInt8Kernels<double>& gemm_int8_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}

}  // namespace attendo::kernels
#endif

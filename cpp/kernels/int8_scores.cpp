#include "kernels/int8_scores.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8_scores.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

#if HWY_ONCE && defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef ATTENDO_KERNELS_INT8_DOT_
#define ATTENDO_KERNELS_INT8_DOT_
namespace attendo::kernels {
// Sums of a tile (kInt8Rows, kInt8Keys): rows of q by one panel. `groups`: of features.
using Int8Dot = void (*)(std::int32_t* tile, const std::int8_t* q, std::ptrdiff_t q_row, const std::int8_t* panel,
                         std::ptrdiff_t groups);
namespace {
Int8Dot int8_dot();
}
}  // namespace attendo::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// In double, whatever T: rounding to a whole number must not depend on how the quotient was rounded.
template <typename T>
HWY_NOINLINE void Quantize(int8_t* n, Index n_row, T* scale, const T* x, Index x_row, Index rows, Index d) {
  for (Index i = 0; i < rows; ++i, n += n_row, x += x_row) {
    double most = 0;
    bool finite = true;
    for (Index c = 0; c < d; ++c) {
      const double value = __builtin_fabs(static_cast<double>(x[c]));
      finite = finite && value <= 1.7976931348623157e308;
      most = most < value ? value : most;
    }
    const double inverse = 127 / most;
    if (!finite || !(inverse <= 1.7976931348623157e308)) {
      for (Index c = 0; c < d; ++c) n[c] = 0;
      scale[i] = finite ? T(0) : static_cast<T>(__builtin_nan(""));
      continue;
    }
    // A number so large that adding it rounds to a whole number, halves to even.
    constexpr double kRounding = 6755399441055744.0;
    for (Index c = 0; c < d; ++c) {
      n[c] = static_cast<int8_t>(static_cast<int>((static_cast<double>(x[c]) * inverse + kRounding) - kRounding));
    }
    scale[i] = static_cast<T>(most / 127);
  }
}

// Eight-bit numbers are widened to sixteen, whose products are added in pairs; a lane of 32 bits holds the four features of
// a key.
#if HWY_TARGET == HWY_SCALAR
HWY_NOINLINE void Dot(int32_t* tile, const int8_t* q, Index q_row, const int8_t* panel, Index groups) {
  panel += kInt8Corrections;
  for (Index i = 0; i < kInt8Rows; ++i) {
    for (Index j = 0; j < kInt8Keys; ++j) {
      int32_t sum = 0;
      for (Index g = 0; g < groups; ++g) {
        for (Index c = 0; c < kInt8Group; ++c) {
          sum += q[i * q_row + g * kInt8Group + c] * panel[(g * kInt8Keys + j) * kInt8Group + c];
        }
      }
      tile[i * kInt8Keys + j] = sum;
    }
  }
}
#else
using Wide = hn::ScalableTag<int32_t>;
using Half = hn::ScalableTag<int16_t>;

// Σ of the two products of each pair of neighbours.
HWY_INLINE hn::Vec<Wide> PairProducts(hn::Vec<Half> a, hn::Vec<Half> b, hn::Vec<Wide> sum) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_SSE2
  hn::Vec<Wide> none = hn::Zero(Wide());
  return hn::ReorderWidenMulAccumulate(Wide(), a, b, sum, none);  // there one instruction, which does not reorder
#else
  const Wide d;
  const auto x = hn::BitCast(d, a), y = hn::BitCast(d, b);
  const auto low = hn::ShiftRight<16>(hn::ShiftLeft<16>(x)) * hn::ShiftRight<16>(hn::ShiftLeft<16>(y));
  return sum + low + hn::ShiftRight<16>(x) * hn::ShiftRight<16>(y);
#endif
}

HWY_NOINLINE void Dot(int32_t* tile, const int8_t* q, Index q_row, const int8_t* panel, Index groups) {
  const Wide d;
  panel += kInt8Corrections;
  const Half half;
  constexpr Index kWide = static_cast<Index>(HWY_LANES(int32_t));
  constexpr Index kVectors = kWide >= 16 ? 4 : 2;  // of keys at once: their sums stay in registers
  for (Index j = 0; j < kInt8Keys; j += kVectors * kWide) {
    hn::Vec<Wide> sum[kInt8Rows][kVectors];
#pragma GCC unroll 4
    for (Index i = 0; i < kInt8Rows; ++i) {
#pragma GCC unroll 4
      for (Index v = 0; v < kVectors; ++v) sum[i][v] = hn::Zero(d);
    }
    for (Index g = 0; g < groups; ++g) {
      hn::Vec<Half> even[kVectors], odd[kVectors];
#pragma GCC unroll 4
      for (Index v = 0; v < kVectors; ++v) {
        const int8_t* at = panel + (g * kInt8Keys + j + v * kWide) * kInt8Group;
        const auto four = hn::BitCast(half, hn::LoadU(hn::ScalableTag<int8_t>(), at));
        even[v] = hn::ShiftRight<8>(hn::ShiftLeft<8>(four));
        odd[v] = hn::ShiftRight<8>(four);
      }
#pragma GCC unroll 4
      for (Index i = 0; i < kInt8Rows; ++i) {
        int32_t word;
        __builtin_memcpy(&word, q + i * q_row + g * kInt8Group, sizeof word);
        const auto four = hn::BitCast(half, hn::Set(d, word));
        const auto q_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(four)), q_odd = hn::ShiftRight<8>(four);
#pragma GCC unroll 4
        for (Index v = 0; v < kVectors; ++v) {
          sum[i][v] = PairProducts(q_even, even[v], sum[i][v]);
          sum[i][v] = PairProducts(q_odd, odd[v], sum[i][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (Index i = 0; i < kInt8Rows; ++i) {
#pragma GCC unroll 4
      for (Index v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], d, tile + i * kInt8Keys + j + v * kWide);
    }
  }
}
#endif

template <typename T>
HWY_INLINE void ScaleRow(T* out, const int32_t* sums, T factor, const T* k_scale) {
  const Tag<T> d;
  const auto f = hn::Set(d, factor);
  for (Index j = 0; j < kInt8Keys; j += kLanes<T>) {
    Vector<T> sum;
    if constexpr (sizeof(T) == 4) {
      sum = hn::ConvertTo(d, hn::LoadU(hn::Rebind<int32_t, Tag<T>>(), sums + j));
    } else {
      sum = hn::PromoteTo(d, hn::LoadU(hn::Rebind<int32_t, Tag<T>>(), sums + j));
    }
    hn::StoreU(f * hn::LoadU(d, k_scale + j) * sum, d, out + j);
  }
}

template <typename T>
HWY_NOINLINE void Scores(T* out, Index out_row, const int8_t* q, const T* q_factor, Index rows, const int8_t* packed,
                         const T* k_scale, Index keys, Index d) {
  HWY_ALIGN int32_t tile[kInt8Rows * kInt8Keys];
  const Index features = int8_features(d);
  const Int8Dot dot = int8_dot();
  for (Index j = 0; j < keys; j += kInt8Keys, packed += int8_panel(d)) {  // a panel stays in the cache for all rows
    for (Index i = 0; i < rows; i += kInt8Rows) {
      dot(tile, q + i * features, features, packed, features / kInt8Group);
      for (Index r = 0; r < Min(kInt8Rows, rows - i); ++r) {
        ScaleRow<T>(out + (i + r) * out_row + j, tile + r * kInt8Keys, q_factor[i + r], k_scale + j);
      }
    }
  }
}

const Int8Kernels<float>& TableFloat() {
  static constexpr Int8Kernels<float> table = {Quantize<float>, Scores<float>};
  return table;
}
const Int8Kernels<double>& TableDouble() {
  static constexpr Int8Kernels<double> table = {Quantize<double>, Scores<double>};
  return table;
}
Int8Dot TableDot() { return Dot; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/select.h"

namespace attendo::kernels {
namespace {

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
// The same sums with the instruction that adds four products at once, of unsigned by signed numbers: q + 128 takes the
// place of q, and the panel's corrections, -128 times the sum of each key, begin the sums.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void DotVnni(std::int32_t* tile, const std::int8_t* q,
                                                                    std::ptrdiff_t q_row, const std::int8_t* panel,
                                                                    std::ptrdiff_t groups) {
  __m512i sum[kInt8Rows][4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    const __m512i correction = _mm512_loadu_si512(panel + v * 64);
#pragma GCC unroll 4
    for (int i = 0; i < kInt8Rows; ++i) sum[i][v] = correction;
  }
  panel += kInt8Corrections;
  for (std::ptrdiff_t g = 0; g < groups; ++g, panel += kInt8Keys * kInt8Group) {
    __m512i keys[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) keys[v] = _mm512_loadu_si512(panel + v * 64);
#pragma GCC unroll 4
    for (int i = 0; i < kInt8Rows; ++i) {
      std::uint32_t word;
      __builtin_memcpy(&word, q + i * q_row + g * kInt8Group, sizeof word);
      const __m512i four = _mm512_set1_epi32(static_cast<int>(word ^ 0x80808080u));
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], four, keys[v]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kInt8Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) _mm512_storeu_si512(tile + i * kInt8Keys + v * 16, sum[i][v]);
  }
}

bool has_vnni() {
  __builtin_cpu_init();
  return isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni");
}
#endif

Int8Dot dot_of_this_machine() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  if (has_vnni()) return DotVnni;
#endif
  ATTENDO_SELECT(TableDot);
}

Int8Dot int8_dot() {
  static const Int8Dot dot = dot_of_this_machine();
  return dot;
}

}  // namespace

template <>
const Int8Kernels<float>& int8_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const Int8Kernels<double>& int8_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}

void int8_pack_keys(std::int8_t* packed, const std::int8_t* n, std::ptrdiff_t n_row, std::ptrdiff_t keys,
                    std::ptrdiff_t d) {
  const std::ptrdiff_t groups = int8_features(d) / kInt8Group;
  for (std::ptrdiff_t j0 = 0; j0 < keys; j0 += kInt8Keys, packed += int8_panel(d)) {
    __builtin_memset(packed, 0, static_cast<size_t>(int8_panel(d)));
    std::int8_t* panel = packed + kInt8Corrections;
    for (std::ptrdiff_t j = 0; j < kInt8Keys && j0 + j < keys; ++j) {
      const std::int8_t* row = n + (j0 + j) * n_row;
      std::int32_t sum = 0;
      for (std::ptrdiff_t c = 0; c < d; ++c) sum += row[c];
      sum *= -128;
      __builtin_memcpy(packed + j * 4, &sum, sizeof sum);
      for (std::ptrdiff_t g = 0; g < groups; ++g) {
        const std::ptrdiff_t left = d - g * kInt8Group;
        __builtin_memcpy(panel + (g * kInt8Keys + j) * kInt8Group, row + g * kInt8Group,
                         static_cast<size_t>(left < kInt8Group ? left : kInt8Group));
      }
    }
  }
}

}  // namespace attendo::kernels
#endif

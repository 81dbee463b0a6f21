#include "kernels/gemv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemv.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr int kWeights = 4;  // rows of the weight at once: each element of x is loaded once for four products
#if HWY_TARGET == HWY_AVX3
constexpr int kMostRows = 4;  // rows of x at once, whose sums stay in registers
#else
constexpr int kMostRows = 2;
#endif
constexpr int kMostRowsInt8 = 2;
// Bytes from here to what is asked of memory ahead of time. The weight is one stream, but four rows at a time, of which the
// processor's own prefetcher sees four short ones. Into the second-level cache: asking for the first takes the few places
// that the loads themselves wait in, and halves the rate.
constexpr Index kAhead = 16384;

template <typename Number>
HWY_INLINE void FetchAhead(const Number* w) {
  __builtin_prefetch(reinterpret_cast<const char*>(w) + kAhead, 0, 2);
}

template <typename T>
HWY_INLINE void Store(const GemvTask<T>& t, Index i, Index j, T value) {
  T* y = t.y + i * t.y_row + j;
  if (t.add) value += *y;
  if (t.bias != nullptr) value += t.bias[j];
  *y = value;
}

// Rows [i, i + kRows) of x by rows [j, j + count) of w, count <= kWeights.
template <typename T, int kRows>
HWY_INLINE void Tile(const GemvTask<T>& t, Index i, Index j, Index count) {
  const Tag<T> d;
  const T *x[kRows], *w[kWeights];
  Vector<T> sum[kRows][kWeights];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) x[r] = t.x + (i + r) * t.x_row;
#pragma GCC unroll 4
  for (int c = 0; c < kWeights; ++c) w[c] = t.w + (j + Min(c, count - 1)) * t.w_row;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kWeights; ++c) sum[r][c] = hn::Zero(d);
  }
  Index p = 0;
  for (; p + kLanes<T> <= t.k; p += kLanes<T>) {
    Vector<T> weight[kWeights];
#pragma GCC unroll 4
    for (int c = 0; c < kWeights; ++c) {
      weight[c] = hn::LoadU(d, w[c] + p);
      FetchAhead(w[c] + p);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto value = hn::LoadU(d, x[r] + p);
#pragma GCC unroll 4
      for (int c = 0; c < kWeights; ++c) sum[r][c] = hn::MulAdd(value, weight[c], sum[r][c]);
    }
  }
  if (p < t.k) {
    const Index left = t.k - p;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto value = LoadTail<T>(x[r] + p, left, T(0));
#pragma GCC unroll 4
      for (int c = 0; c < kWeights; ++c) {
        sum[r][c] = hn::MulAdd(value, LoadTail<T>(w[c] + p, left, T(0)), sum[r][c]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kWeights; ++c) {
      if (c < count) Store<T>(t, i + r, j + c, SumLanes<T>(sum[r][c]));
    }
  }
}

template <typename T>
HWY_NOINLINE void Run(const GemvTask<T>& t) {
  for (Index j = 0; j < t.n; j += kWeights) {
    const Index count = Min(kWeights, t.n - j);
    Index i = 0;
    if constexpr (kMostRows == 4) {
      for (; i + 4 <= t.m; i += 4) Tile<T, 4>(t, i, j, count);
    }
    for (; i + 2 <= t.m; i += 2) Tile<T, 2>(t, i, j, count);
    if (i < t.m) Tile<T, 1>(t, i, j, count);
  }
}

// ---- weights of eight bits ------------------------------------------------------------------------------------------

template <typename T>
HWY_INLINE Vector<T> Widen(const int8_t* q) {
  const Tag<T> d;
  const hn::Rebind<int32_t, Tag<T>> wide;
  const auto number = hn::PromoteTo(wide, hn::LoadU(hn::Rebind<int8_t, Tag<T>>(), q));
  if constexpr (sizeof(T) == 4) {
    return hn::ConvertTo(d, number);
  } else {
    return hn::PromoteTo(d, number);
  }
}

template <typename T>
HWY_INLINE Vector<T> WidenTail(const int8_t* q, Index n) {
  int8_t buffer[kLanes<T>] = {};
  for (Index i = 0; i < n; ++i) buffer[i] = q[i];
  return Widen<T>(buffer);
}

template <typename T, int kRows>
HWY_INLINE void TileInt8(const GemvTask<T>& t, Index i, Index j, Index count) {
  const Tag<T> d;
  const Index groups = int8_groups(t.k);
  const T *x[kRows], *scale[kWeights];
  const int8_t* q[kWeights];
  Vector<T> sum[kRows][kWeights];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) x[r] = t.x + (i + r) * t.x_row;
#pragma GCC unroll 4
  for (int c = 0; c < kWeights; ++c) {
    const Index row = j + Min(c, count - 1);
    q[c] = t.q + row * t.k, scale[c] = t.scale + row * groups;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sum[r][c] = hn::Zero(d);
  }
  for (Index g = 0; g < groups; ++g) {
    Vector<T> part[kRows][kWeights];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kWeights; ++c) part[r][c] = hn::Zero(d);
    }
    Index p = g * kInt8Weights;
    const Index end = Min(t.k, p + kInt8Weights);
#pragma GCC unroll 4
    for (int c = 0; c < kWeights; ++c) FetchAhead(q[c] + p);
    for (; p + kLanes<T> <= end; p += kLanes<T>) {
      Vector<T> weight[kWeights];
#pragma GCC unroll 4
      for (int c = 0; c < kWeights; ++c) weight[c] = Widen<T>(q[c] + p);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const auto value = hn::LoadU(d, x[r] + p);
#pragma GCC unroll 4
        for (int c = 0; c < kWeights; ++c) part[r][c] = hn::MulAdd(value, weight[c], part[r][c]);
      }
    }
    if (p < end) {
      const Index left = end - p;
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const auto value = LoadTail<T>(x[r] + p, left, T(0));
#pragma GCC unroll 4
        for (int c = 0; c < kWeights; ++c) {
          part[r][c] = hn::MulAdd(value, WidenTail<T>(q[c] + p, left), part[r][c]);
        }
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < kWeights; ++c) {
      const auto factor = hn::Set(d, scale[c][g]);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r][c] = hn::MulAdd(part[r][c], factor, sum[r][c]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kWeights; ++c) {
      if (c < count) Store<T>(t, i + r, j + c, SumLanes<T>(sum[r][c]));
    }
  }
}

template <typename T>
HWY_NOINLINE void RunInt8(const GemvTask<T>& t) {
  for (Index j = 0; j < t.n; j += kWeights) {
    const Index count = Min(kWeights, t.n - j);
    Index i = 0;
    for (; i + kMostRowsInt8 <= t.m; i += kMostRowsInt8) TileInt8<T, kMostRowsInt8>(t, i, j, count);
    if (i < t.m) TileInt8<T, 1>(t, i, j, count);
  }
}

template <typename T>
HWY_NOINLINE void Dequantize(T* w, const int8_t* q, const T* scale, Index rows, Index k) {
  const Tag<T> d;
  for (Index j = 0; j < rows; ++j) {
    for (Index first = 0; first < k; first += kInt8Weights) {
      const Index end = Min(k, first + kInt8Weights);
      const T factor = *scale++;
      Index p = first;
      for (; p + kLanes<T> <= end; p += kLanes<T>) hn::StoreU(hn::Set(d, factor) * Widen<T>(q + p), d, w + p);
      for (; p < end; ++p) w[p] = factor * static_cast<T>(q[p]);
    }
    q += k, w += k;
  }
}

const GemvKernels<float>& TableFloat() {
  static constexpr GemvKernels<float> table = {Run<float>, RunInt8<float>, Dequantize<float>};
  return table;
}
const GemvKernels<double>& TableDouble() {
  static constexpr GemvKernels<double> table = {Run<double>, RunInt8<double>, Dequantize<double>};
  return table;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/select.h"

namespace attendo::kernels {
template <>
const GemvKernels<float>& gemv_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const GemvKernels<double>& gemv_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

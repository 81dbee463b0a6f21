#include "kernels/taps.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/taps.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// kVectors vectors of outputs at once: their sums stay in registers, and a weight is fetched once for all.
template <typename T, int kVectors>
HWY_INLINE void SumBlock(T* y, T start, const T* x, const T* weight, const Index* offset, Index taps) {
  const Tag<T> d;
  Vector<T> sum[kVectors];
  for (int k = 0; k < kVectors; ++k) sum[k] = hn::Set(d, start);
  for (Index t = 0; t < taps; ++t) {
    const auto w = hn::Set(d, weight[t]);
    const T* from = x + offset[t];
    for (int k = 0; k < kVectors; ++k) sum[k] = hn::MulAdd(w, hn::LoadU(d, from + k * kLanes<T>), sum[k]);
  }
  for (int k = 0; k < kVectors; ++k) hn::StoreU(sum[k], d, y + k * kLanes<T>);
}

template <typename T>
HWY_NOINLINE void Sum(T* y, Index y_row, T start, const T* x, Index x_row, const T* weight, const Index* offset,
                      Index taps, Index rows, Index n) {
  const Tag<T> d;
  for (Index i = 0; i < rows; ++i, y += y_row, x += x_row) {
    Index j = 0;
    for (; j + 4 * kLanes<T> <= n; j += 4 * kLanes<T>) SumBlock<T, 4>(y + j, start, x + j, weight, offset, taps);
    if (j + 2 * kLanes<T> <= n) {
      SumBlock<T, 2>(y + j, start, x + j, weight, offset, taps);
      j += 2 * kLanes<T>;
    }
    if (j + kLanes<T> <= n) {
      SumBlock<T, 1>(y + j, start, x + j, weight, offset, taps);
      j += kLanes<T>;
    }
    if (j == n) continue;
    auto sum = hn::Set(d, start);
    for (Index t = 0; t < taps; ++t) {
      sum = hn::MulAdd(hn::Set(d, weight[t]), LoadTail<T>(x + offset[t] + j, n - j, T(0)), sum);
    }
    StoreTail<T>(sum, y + j, n - j);
  }
}

// kTaps taps at once: a vector of d_y is read once for all.
template <typename T, int kTaps>
HWY_INLINE void DotBlock(double* d_weight, const T* d_y, Index y_row, const T* x, Index x_row, const Index* offset,
                         Index rows, Index n) {
  const Tag<T> d;
  constexpr Index kRows = 16;  // as many are added before their sum goes to the double
  for (Index begin = 0; begin < rows; begin += kRows) {
    Vector<T> sum[kTaps];
    for (int t = 0; t < kTaps; ++t) sum[t] = hn::Zero(d);
    for (Index i = begin; i < Min(rows, begin + kRows); ++i) {
      const T* from = x + i * x_row;
      const T* dy = d_y + i * y_row;
      Index j = 0;
      for (; j + kLanes<T> <= n; j += kLanes<T>) {
        const auto v = hn::LoadU(d, dy + j);
        for (int t = 0; t < kTaps; ++t) sum[t] = hn::MulAdd(v, hn::LoadU(d, from + offset[t] + j), sum[t]);
      }
      if (j == n) continue;
      const auto v = LoadTail<T>(dy + j, n - j, T(0));
      for (int t = 0; t < kTaps; ++t) {
        sum[t] = hn::MulAdd(v, LoadTail<T>(from + offset[t] + j, n - j, T(0)), sum[t]);
      }
    }
    for (int t = 0; t < kTaps; ++t) d_weight[t] += static_cast<double>(SumLanes<T>(sum[t]));
  }
}

template <typename T>
HWY_NOINLINE void Dot(double* d_weight, const T* d_y, Index y_row, const T* x, Index x_row, const Index* offset,
                      Index taps, Index rows, Index n) {
  Index t = 0;
  for (; t + 3 <= taps; t += 3) DotBlock<T, 3>(d_weight + t, d_y, y_row, x, x_row, offset + t, rows, n);
  for (; t < taps; ++t) DotBlock<T, 1>(d_weight + t, d_y, y_row, x, x_row, offset + t, rows, n);
}

template <typename T>
constexpr TapKernels<T> MakeTable() {
  return {Sum<T>, Dot<T>};
}
const TapKernels<float>& TableFloat() {
  static constexpr TapKernels<float> table = MakeTable<float>();
  return table;
}
const TapKernels<double>& TableDouble() {
  static constexpr TapKernels<double> table = MakeTable<double>();
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
const TapKernels<float>& tap_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const TapKernels<double>& tap_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

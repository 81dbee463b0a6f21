#include "kernels/rms_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
HWY_INLINE T SumOfSquares(const T* x, Index n) {
  const Tag<T> d;
  auto a = hn::Zero(d), b = hn::Zero(d);
  Index i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    const auto first = hn::LoadU(d, x + i), second = hn::LoadU(d, x + i + kLanes<T>);
    a = hn::MulAdd(first, first, a);
    b = hn::MulAdd(second, second, b);
  }
  if (i + kLanes<T> <= n) {
    const auto v = hn::LoadU(d, x + i);
    a = hn::MulAdd(v, v, a);
    i += kLanes<T>;
  }
  if (i < n) {
    const auto v = LoadTail<T>(x + i, n - i, T(0));
    b = hn::MulAdd(v, v, b);
  }
  return SumLanes<T>(a + b);
}

template <typename T>
HWY_NOINLINE void Forward(T* y, T* rstd, const T* x, const T* weight, T eps, Index rows, Index n) {
  const Tag<T> d;
  const auto one = hn::Set(d, T(1));
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    const T scale = T(1) / T(__builtin_sqrt(static_cast<double>(SumOfSquares<T>(x, n) / T(n) + eps)));
    rstd[r] = scale;
    const auto s = hn::Set(d, scale);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      const auto w = weight ? hn::LoadU(d, weight + i) : one;
      hn::StoreU(hn::LoadU(d, x + i) * s * w, d, y + i);
    }
    if (i < n) {
      const auto w = weight ? LoadTail<T>(weight + i, n - i, T(0)) : one;
      StoreTail<T>(LoadTail<T>(x + i, n - i, T(0)) * s * w, y + i, n - i);
    }
  }
}

// kRows rows at once, so that w and dw are loaded and stored once for all of them. dw is added to row after row, as with
// one row.
template <typename T, int kRows>
struct Rows {
  Index n;
  const T *dy, *x, *weight;
  T *dx, *d_weight;
  Vector<T> rstd[kRows];

  HWY_INLINE Vector<T> Load(const T* from, Index i, bool whole) const {
    return whole ? hn::LoadU(Tag<T>(), from + i) : LoadTail<T>(from + i, n - i, T(0));
  }
  HWY_INLINE void Store(Vector<T> v, T* to, Index i, bool whole) const {
    whole ? hn::StoreU(v, Tag<T>(), to + i) : StoreTail<T>(v, to + i, n - i);
  }

  // Σ g x̂ of each row, and its share of dw = Σ dy x̂.
  HWY_INLINE void Sums(Index i, bool whole, Vector<T>* sum) const {
    const Tag<T> d;
    const auto w = weight ? Load(weight, i, whole) : hn::Set(d, T(1));
    auto total = d_weight ? Load(d_weight, i, whole) : hn::Zero(d);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto product = Load(dy + r * n, i, whole) * (Load(x + r * n, i, whole) * rstd[r]);
      sum[r] = hn::MulAdd(product, w, sum[r]);
      total = total + product;
    }
    if (d_weight) Store(total, d_weight, i, whole);
  }

  // dx = r (g - x̂ mean(g x̂))
  HWY_INLINE void Gradient(Index i, bool whole, const Vector<T>* mean) const {
    const auto w = weight ? Load(weight, i, whole) : hn::Set(Tag<T>(), T(1));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto xhat = Load(x + r * n, i, whole) * rstd[r];
      const auto g = Load(dy + r * n, i, whole) * w;
      Store(rstd[r] * hn::NegMulAdd(xhat, mean[r], g), dx + r * n, i, whole);
      // The same place of the rows to come: several rows at a time are no pattern that the processor foresees.
      hwy::Prefetch(dy + (kRows + r) * n + i);
      hwy::Prefetch(x + (kRows + r) * n + i);
    }
  }

  HWY_INLINE void Run() const {
    const Tag<T> d;
    Vector<T> sum[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(d);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) Sums(i, true, sum);
    if (i < n) Sums(i, false, sum);
    if (dx == nullptr) return;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sum[r] = hn::Set(d, SumLanes<T>(sum[r]) / T(n));
    for (i = 0; i + kLanes<T> <= n; i += kLanes<T>) Gradient(i, true, sum);
    if (i < n) Gradient(i, false, sum);
  }
};

template <typename T, int kRows>
HWY_INLINE void BackwardRows(T* dx, T* d_weight, const T* dy, const T* x, const T* rstd, const T* weight, Index n) {
  Rows<T, kRows> rows{n, dy, x, weight, dx, d_weight, {}};
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) rows.rstd[r] = hn::Set(Tag<T>(), rstd[r]);
  rows.Run();
}

template <typename T>
HWY_NOINLINE void Backward(T* dx, T* d_weight, const T* dy, const T* x, const T* rstd, const T* weight, Index rows,
                           Index n) {
  constexpr int kRows = 4;
  Index r = 0;
  for (; r + kRows <= rows; r += kRows) {
    BackwardRows<T, kRows>(dx ? dx + r * n : dx, d_weight, dy + r * n, x + r * n, rstd + r, weight, n);
  }
  for (; r < rows; ++r) {
    BackwardRows<T, 1>(dx ? dx + r * n : dx, d_weight, dy + r * n, x + r * n, rstd + r, weight, n);
  }
}

template <typename T>
constexpr RmsNormKernels<T> MakeTable() {
  return {Forward<T>, Backward<T>};
}
const RmsNormKernels<float>& TableFloat() {
  static constexpr RmsNormKernels<float> table = MakeTable<float>();
  return table;
}
const RmsNormKernels<double>& TableDouble() {
  static constexpr RmsNormKernels<double> table = MakeTable<double>();
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
const RmsNormKernels<float>& rms_norm_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const RmsNormKernels<double>& rms_norm_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

#include "kernels/int8_inputs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8_inputs.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr double kLargest = 1.7976931348623157e308;
// Added to a number below 2^51, it rounds that to a whole one, halves to even, which its lowest bits then are.
constexpr double kToWhole = 6755399441055744.0;

// The range of a row and zero; false where the row holds NaN or inf.
template <typename T>
HWY_INLINE bool FindRange(const T* x, Index k, double& low, double& high) {
  const Tag<T> d;
  auto least = hn::Zero(d), most = hn::Zero(d), rest = hn::Zero(d);
  const auto add = [&](Vector<T> v) HWY_ATTR {
    least = hn::Min(least, v), most = hn::Max(most, v);
    rest = rest + (v - v);
  };
  Index p = 0;
  for (; p + kLanes<T> <= k; p += kLanes<T>) add(hn::LoadU(d, x + p));
  if (p < k) add(LoadTail<T>(x + p, k - p, T(0)));
  low = static_cast<double>(hn::GetLane(hn::MinOfLanes(d, least)));
  high = static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, most)));
  return SumLanes<T>(rest) == T(0);
}

template <typename T>
HWY_INLINE Vector<double> LoadDoubles(const T* x) {
  const Tag<double> d;
  if constexpr (sizeof(T) == 8) {
    return hn::LoadU(d, x);
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Tag<double>>(), x));
  }
}

// In double, whatever T: rounding to a whole number must not depend on how the quotient was rounded.
template <typename T>
HWY_INLINE void RoundRow(uint8_t* q, const T* x, Index k, double inverse, double zero_point) {
  const Tag<double> d;
  const hn::Rebind<uint8_t, Tag<double>> narrow;
  const auto factor = hn::Set(d, inverse), whole = hn::Set(d, kToWhole), zero = hn::Set(d, zero_point);
  const auto low = whole, high = hn::Set(d, kToWhole + 255);
  Index p = 0;
  for (; p + kLanes<double> <= k; p += kLanes<double>) {
    const auto number = (LoadDoubles<T>(x + p) * factor + whole) + zero;
    const auto inside = hn::Min(hn::Max(number, low), high);
    hn::StoreU(hn::TruncateTo(narrow, hn::BitCast(hn::RebindToUnsigned<Tag<double>>(), inside)), narrow, q + p);
  }
  for (; p < k; ++p) {
    double number = (static_cast<double>(x[p]) * inverse + kToWhole) + zero_point;
    number = number > kToWhole ? number : kToWhole;
    number = number < kToWhole + 255 ? number : kToWhole + 255;
    q[p] = static_cast<uint8_t>(static_cast<int>(number - kToWhole));
  }
}

template <typename T>
HWY_NOINLINE void Quantize(uint8_t* q, T* q_scale, int32_t* zero_point, const T* x, Index rows, Index k,
                           const Int8Range* range) {
  const Index depth = int8_depth(k);
  for (Index i = 0; i < rows; ++i, q += depth, x += k) {
    double low, high;
    const bool finite = FindRange<T>(x, k, low, high);
    const double scale = range == nullptr ? high / 255 - low / 255 : range->scale;
    const double inverse = 1 / scale;
    q_scale[i] = static_cast<T>(scale), zero_point[i] = 0;
    if (!finite || !(inverse <= kLargest)) {
      __builtin_memset(q, 0, static_cast<size_t>(depth));
      q_scale[i] = finite ? T(0) : static_cast<T>(__builtin_nan(""));
      continue;
    }
    const double zero = range == nullptr ? (-low * inverse + kToWhole) - kToWhole : range->zero_point;
    zero_point[i] = static_cast<int32_t>(zero);
    RoundRow<T>(q, x, k, inverse, zero);
    __builtin_memset(q + k, 0, static_cast<size_t>(depth - k));
  }
}

const Int8InputKernels<float>& TableFloat() {
  static constexpr Int8InputKernels<float> table = {Quantize<float>};
  return table;
}
const Int8InputKernels<double>& TableDouble() {
  static constexpr Int8InputKernels<double> table = {Quantize<double>};
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
const Int8InputKernels<float>& int8_input_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const Int8InputKernels<double>& int8_input_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

#include "kernels/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// Independent sums: enough to hide a latency of five cycles on two units, few enough for sixteen registers.
constexpr Index kSums = 12;

float MultiplyAdd(Index rounds) {
  const Tag<float> d;
  // x <- x·0.5 + 1 tends to 2: neither inf nor subnormal slows it down.
  const auto half = hn::Set(d, 0.5f), one = hn::Set(d, 1.0f);
  Vector<float> x[kSums];
  for (Index i = 0; i < kSums; ++i) x[i] = hn::Set(d, static_cast<float>(i));
  for (Index round = 0; round < rounds; ++round) {
    for (Index i = 0; i < kSums; ++i) x[i] = hn::MulAdd(x[i], half, one);
  }
  for (Index i = 1; i < kSums; ++i) x[0] = x[0] + x[i];
  return SumLanes<float>(x[0]);
}

const PeakKernel& Table() {
  static constexpr PeakKernel table = {2 * kSums * kLanes<float>, MultiplyAdd};
  return table;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/select.h"

namespace attendo::kernels {
const PeakKernel& peak_kernel() { ATTENDO_SELECT(Table); }
}  // namespace attendo::kernels
#endif

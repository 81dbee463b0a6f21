#include "kernels/attention_stats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_stats.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/attention_stats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
void Run(const AttentionHead<T>& h, Index begin, Index end, const AttentionRowStats<T>& rows, T* scratch) {
  for (Index q0 = begin; q0 < end; q0 += kPanel<T>) {
    const Index count = Min(kPanel<T>, end - q0);
    switch ((count + kLanes<T> - 1) / kLanes<T>) {
      case 1: StatsBlock<T, 1>(h, q0, count, rows, scratch); break;
      case 2: StatsBlock<T, 2>(h, q0, count, rows, scratch); break;
#if ATTENDO_WIDE_PANEL
      case 3: StatsBlock<T, 3>(h, q0, count, rows, scratch); break;
      default: StatsBlock<T, 4>(h, q0, count, rows, scratch); break;
#else
      default: break;
#endif
    }
  }
}

const AttentionStatsKernels<float>& TableFloat() {
  static constexpr AttentionStatsKernels<float> table = {kPanel<float>, StatsScratch<float>, Run<float>};
  return table;
}
const AttentionStatsKernels<double>& TableDouble() {
  static constexpr AttentionStatsKernels<double> table = {kPanel<double>, StatsScratch<double>, Run<double>};
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
const AttentionStatsKernels<float>& attention_stats_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const AttentionStatsKernels<double>& attention_stats_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

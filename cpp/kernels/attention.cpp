#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/attention_backward-inl.h"
#include "kernels/attention_forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
void Forward(const AttentionHead<T>& h, Index begin, Index end, T* out, Index out_row, T* row_max, T* row_inverse,
             T* weights, Index weights_row, T* scratch) {
  for (Index q0 = begin; q0 < end; q0 += kPanel<T>) {
    const Index count = Min(kPanel<T>, end - q0);
    T* o = out + q0 * out_row;
    T *m = row_max + q0, *l = row_inverse + q0;
    T* w = weights == nullptr ? nullptr : weights + q0 * weights_row;
    switch (LaneVectors(count, kLanes<T>)) {
      case 1: ForwardBlock<T, 1>(h, q0, count, o, out_row, m, l, w, weights_row, scratch); break;
      case 2: ForwardBlock<T, 2>(h, q0, count, o, out_row, m, l, w, weights_row, scratch); break;
#if ATTENDO_WIDE_PANEL
      case 3: ForwardBlock<T, 3>(h, q0, count, o, out_row, m, l, w, weights_row, scratch); break;
      default: ForwardBlock<T, 4>(h, q0, count, o, out_row, m, l, w, weights_row, scratch); break;
#else
      default: break;
#endif
    }
  }
}

template <typename T>
Index ScoreMemory(Index per_head, Index per_query, Index chunks, bool backward) {
  return ScoreScratch<T>(per_head, per_query, chunks) + (backward ? 2 * kBackwardKeys * kPanel<T> : 0);
}

template <typename T>
Index BackwardScratch(Index query_length, Index d, Index d_v) {
  BackwardPlan<T> plan;
  return BackwardPlan<T>::Layout(plan, query_length, d, d_v, nullptr);
}

template <typename T>
Index DQScratch(Index query_length, Index d) {
  return RoundUp(query_length, kPanel<T>) * d;
}

template <typename T>
constexpr AttentionKernels<T> MakeTable() {
  return {kPanel<T>,          ForwardScratch<T>, ScoreMemory<T>, Forward<T>, RowDots<T>,
          BackwardScratch<T>, DQScratch<T>,      Backward<T>,    FinishDQ<T>};
}
const AttentionKernels<float>& TableFloat() {
  static constexpr AttentionKernels<float> table = MakeTable<float>();
  return table;
}
const AttentionKernels<double>& TableDouble() {
  static constexpr AttentionKernels<double> table = MakeTable<double>();
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
const AttentionKernels<float>& attention_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const AttentionKernels<double>& attention_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

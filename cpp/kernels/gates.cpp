#include "kernels/gates.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gates.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

#define ATTENDO_ACTIVATION(Name)                                                                   \
  template <typename T>                                                                            \
  HWY_NOINLINE void Name##Flat(T* y, const T* x, Index n) {                                        \
    const Tag<T> d;                                                                                \
    Index i = 0;                                                                                   \
    for (; i + kLanes<T> <= n; i += kLanes<T>) hn::StoreU(Name<T>(hn::LoadU(d, x + i)), d, y + i); \
    if (i < n) StoreTail<T>(Name<T>(LoadTail<T>(x + i, n - i, T(0))), y + i, n - i);               \
  }                                                                                                \
  template <typename T>                                                                            \
  HWY_NOINLINE void Name##Backward(T* dx, const T* dy, const T* x, Index n) {                      \
    const Tag<T> d;                                                                                \
    Index i = 0;                                                                                   \
    for (; i + kLanes<T> <= n; i += kLanes<T>) {                                                   \
      hn::StoreU(hn::LoadU(d, dy + i) * Name##Slope<T>(hn::LoadU(d, x + i)), d, dx + i);           \
    }                                                                                              \
    if (i < n) {                                                                                   \
      const auto slope = Name##Slope<T>(LoadTail<T>(x + i, n - i, T(0)));                          \
      StoreTail<T>(LoadTail<T>(dy + i, n - i, T(0)) * slope, dx + i, n - i);                       \
    }                                                                                              \
  }
ATTENDO_ACTIVATION(Silu)
ATTENDO_ACTIVATION(QuickGelu)
#undef ATTENDO_ACTIVATION

template <typename T, class Gate>
HWY_NOINLINE void GluRows(T* y, const T* x, Index rows, Index n) {
  const Tag<T> d;
  for (Index r = 0; r < rows; ++r, x += 2 * n, y += n) {
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      hn::StoreU(hn::LoadU(d, x + i) * Gate::Value(hn::LoadU(d, x + n + i)), d, y + i);
    }
    if (i < n) {
      const auto gate = Gate::Value(LoadTail<T>(x + n + i, n - i, T(0)));
      StoreTail<T>(LoadTail<T>(x + i, n - i, T(0)) * gate, y + i, n - i);
    }
  }
}

template <typename T, class Gate>
HWY_NOINLINE void GluRowsBackward(T* dx, const T* dy, const T* x, Index rows, Index n) {
  const Tag<T> d;
  Vector<T> slope;
  for (Index r = 0; r < rows; ++r, x += 2 * n, dx += 2 * n, dy += n) {
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      const auto g = hn::LoadU(d, dy + i);
      const auto gate = Gate::Both(hn::LoadU(d, x + n + i), slope);
      const auto a = hn::LoadU(d, x + i);
      hn::StoreU(g * gate, d, dx + i);
      hn::StoreU(g * a * slope, d, dx + n + i);
    }
    if (i < n) {
      const auto g = LoadTail<T>(dy + i, n - i, T(0));
      const auto gate = Gate::Both(LoadTail<T>(x + n + i, n - i, T(0)), slope);
      const auto a = LoadTail<T>(x + i, n - i, T(0));
      StoreTail<T>(g * gate, dx + i, n - i);
      StoreTail<T>(g * a * slope, dx + n + i, n - i);
    }
  }
}

template <typename T>
HWY_NOINLINE void Glu(GateActivation f, T* y, const T* x, Index rows, Index n) {
  switch (f) {
    case GateActivation::kNone: return GluRows<T, NoGate<T>>(y, x, rows, n);
    case GateActivation::kSigmoid: return GluRows<T, SigmoidGate<T>>(y, x, rows, n);
    case GateActivation::kSilu: return GluRows<T, SiluGate<T>>(y, x, rows, n);
    case GateActivation::kGelu: return GluRows<T, GeluGate<T>>(y, x, rows, n);
    case GateActivation::kGeluTanh: return GluRows<T, GeluTanhGate<T>>(y, x, rows, n);
    case GateActivation::kRelu: return GluRows<T, ReluGate<T>>(y, x, rows, n);
  }
}

template <typename T>
HWY_NOINLINE void GluBackward(GateActivation f, T* dx, const T* dy, const T* x, Index rows, Index n) {
  switch (f) {
    case GateActivation::kNone: return GluRowsBackward<T, NoGate<T>>(dx, dy, x, rows, n);
    case GateActivation::kSigmoid: return GluRowsBackward<T, SigmoidGate<T>>(dx, dy, x, rows, n);
    case GateActivation::kSilu: return GluRowsBackward<T, SiluGate<T>>(dx, dy, x, rows, n);
    case GateActivation::kGelu: return GluRowsBackward<T, GeluGate<T>>(dx, dy, x, rows, n);
    case GateActivation::kGeluTanh: return GluRowsBackward<T, GeluTanhGate<T>>(dx, dy, x, rows, n);
    case GateActivation::kRelu: return GluRowsBackward<T, ReluGate<T>>(dx, dy, x, rows, n);
  }
}

template <typename T>
constexpr GateKernels<T> MakeTable() {
  return {SiluFlat<T>, SiluBackward<T>, QuickGeluFlat<T>, QuickGeluBackward<T>, Glu<T>, GluBackward<T>};
}
const GateKernels<float>& TableFloat() {
  static constexpr GateKernels<float> table = MakeTable<float>();
  return table;
}
const GateKernels<double>& TableDouble() {
  static constexpr GateKernels<double> table = MakeTable<double>();
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
const GateKernels<float>& gate_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const GateKernels<double>& gate_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

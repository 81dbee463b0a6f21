#include "kernels/recurrent.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/recurrent.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// Beyond this, sigmoid and tanh are taken for 0, 1 or -1: they are, but for less than the last bit of a 1. The product
// of three numbers e^x + 1 stays in range.
template <typename T>
HWY_INLINE Vector<T> Bound() {
  return hn::Set(Tag<T>(), sizeof(T) == 4 ? T(28) : T(40));
}

// e^x - 1 within the bound. NaN stays NaN.
template <typename T>
HWY_INLINE Vector<T> BoundedExpm1(Vector<T> x) {
  const auto highest = Bound<T>(), lowest = hn::Neg(Bound<T>());
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return Expm1<T>(hn::Min(highest, hn::Max(lowest, x)));  // where an argument is NaN, x86 returns the second
#else
  x = hn::IfThenElse(hn::Lt(x, lowest), lowest, x);
  return Expm1<T>(hn::IfThenElse(hn::Gt(x, highest), highest, x));
#endif
}

// σ(x) as computed, or exactly 0: an infinite state times 0 must be NaN.
template <typename T>
HWY_INLINE Vector<T> OrZero(Vector<T> x, Vector<T> sigmoid) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Neg(Bound<T>())), sigmoid);
}

// With e = e^x - 1, σ(-x) = 1 / (e + 2) and tanh(x / 2) = e / (e + 2). A division costs as much as ten products, so
// functions that meet in one result anyway, where a NaN of one is a NaN of all, share theirs.

template <typename T>
HWY_INLINE Vector<T> BoundedSigmoid(Vector<T> x) {
  const Tag<T> d;
  return OrZero<T>(x, hn::Set(d, T(1)) / (BoundedExpm1<T>(hn::Neg(x)) + hn::Set(d, T(2))));
}

// a, b = σ(a), σ(b)
template <typename T>
HWY_INLINE void TwoSigmoids(Vector<T>& a, Vector<T>& b) {
  const Tag<T> d;
  const auto two = hn::Set(d, T(2));
  const auto p = BoundedExpm1<T>(hn::Neg(a)) + two, q = BoundedExpm1<T>(hn::Neg(b)) + two;
  const auto r = hn::Set(d, T(1)) / (p * q);
  a = OrZero<T>(a, r * q);
  b = OrZero<T>(b, r * p);
}

// a, b, c = σ(a), σ(b), tanh(c)
template <typename T>
HWY_INLINE void TwoSigmoidsAndTanh(Vector<T>& a, Vector<T>& b, Vector<T>& c) {
  const Tag<T> d;
  const auto two = hn::Set(d, T(2));
  const auto e = BoundedExpm1<T>(c + c);
  const auto p = BoundedExpm1<T>(hn::Neg(a)) + two, q = BoundedExpm1<T>(hn::Neg(b)) + two, w = e + two;
  const auto pq = p * q;
  const auto r = hn::Set(d, T(1)) / (pq * w);
  a = OrZero<T>(a, r * w * q);
  b = OrZero<T>(b, r * w * p);
  c = e * (r * pq);
}

// a, b = σ(a), tanh(b)
template <typename T>
HWY_INLINE void SigmoidAndTanh(Vector<T>& a, Vector<T>& b) {
  const Tag<T> d;
  const auto two = hn::Set(d, T(2));
  const auto e = BoundedExpm1<T>(b + b);
  const auto p = BoundedExpm1<T>(hn::Neg(a)) + two, w = e + two;
  const auto r = hn::Set(d, T(1)) / (p * w);
  a = OrZero<T>(a, r * w);
  b = e * (r * p);
}

template <typename T>
HWY_INLINE Vector<T> BoundedTanh(Vector<T> x) {
  const auto e = BoundedExpm1<T>(x + x);
  return e / (e + hn::Set(Tag<T>(), T(2)));
}

// The state of a row of the output, which has `units` elements only.
template <typename T>
HWY_INLINE void StoreOut(Vector<T> v, T* out, Index j, Index units) {
  if (HWY_LIKELY(j + kLanes<T> <= units)) {
    hn::StoreU(v, Tag<T>(), out + j);
  } else if (j < units) {
    StoreTail<T>(v, out + j, units - j);
  }
}

template <typename T>
HWY_INLINE Vector<T> LoadOut(const T* out, Index j, Index units) {
  if (HWY_LIKELY(j + kLanes<T> <= units)) return hn::LoadU(Tag<T>(), out + j);
  return j < units ? LoadTail<T>(out + j, units - j, T(0)) : hn::Zero(Tag<T>());
}

// A row that stands still: its states are kept as they are, its output is 0.
template <typename T>
HWY_INLINE bool StandsStill(const RecurrentStep<T>& s, Index i) {
  if (s.lengths == nullptr || s.position < s.lengths[i]) return false;
  for (Index j = 0; j < s.units; ++j) s.out[i * s.out_row + j] = T(0);
  for (Index j = 0; j < s.padded; ++j) {
    if (s.kept_h != nullptr) s.kept_h[i * s.kept_row + j] = s.h[i * s.padded + j];
    if (s.kept_c != nullptr) s.kept_c[i * s.kept_row + j] = s.c[i * s.padded + j];
  }
  return true;
}

template <typename T>
HWY_INLINE bool StandsStill(const RecurrentStepBackward<T>& s, Index i, Index gates) {
  if (s.lengths == nullptr || s.position < s.lengths[i]) return false;
  for (Index j = 0; j < gates * s.padded; ++j) s.d_gates[i * s.d_gates_row + j] = T(0);
  return true;
}

// Elements j on of a row's inputs of the next step are on their way while the recurrent product of this one runs. They were
// written long ago, and steps backwards are no pattern that the processor foresees.
template <typename T>
HWY_INLINE void FetchNext(const RecurrentStepBackward<T>& s, const T* kept, Index gates, Index i, Index j) {
  if (s.gates_next == 0) return;
  for (Index g = 0; g < gates; ++g) {
    __builtin_prefetch(s.gates + i * s.gates_row + s.gates_next + g * s.padded + j, 0, 2);
  }
  __builtin_prefetch(kept + i * s.kept_row + s.kept_next + j, 0, 2);
  if (s.d_out != nullptr) __builtin_prefetch(s.d_out + i * s.d_out_row + s.d_out_next + j, 0, 2);
}

// d_gates[j] = v, and what it adds to the gradient of the bias.
template <typename T>
HWY_INLINE void StoreGate(Vector<T> v, T* d_gates, T* d_bias, Index j) {
  const Tag<T> d;
  hn::StoreU(v, d, d_gates + j);
  hn::StoreU(hn::LoadU(d, d_bias + j) + v, d, d_bias + j);
}

// ---- LSTM -----------------------------------------------------------------------------------------------------------

template <typename T>
HWY_NOINLINE void Lstm(const RecurrentStep<T>& s) {
  const Tag<T> d;
  const Index n = s.padded;
  for (Index i = 0; i < s.rows; ++i) {
    if (StandsStill(s, i)) continue;
    T* gates = s.gates + i * s.gates_row;
    T* h = s.h + i * n;
    T* c = s.c + i * n;
    for (Index j = 0; j < n; j += kLanes<T>) {
      auto in = hn::LoadU(d, gates + j), forget = hn::LoadU(d, gates + n + j);
      auto cell = hn::LoadU(d, gates + 2 * n + j), out = hn::LoadU(d, gates + 3 * n + j);
      TwoSigmoidsAndTanh<T>(in, forget, cell);
      const auto c_before = hn::LoadU(d, c + j);
      const auto c_after = hn::MulAdd(forget, c_before, in * cell);
      auto t = c_after;
      SigmoidAndTanh<T>(out, t);
      const auto y = out * t;
      if (s.kept_h != nullptr) {
        hn::StoreU(hn::LoadU(d, h + j), d, s.kept_h + i * s.kept_row + j);
        hn::StoreU(c_before, d, s.kept_c + i * s.kept_row + j);
        hn::StoreU(in, d, gates + j);
        hn::StoreU(forget, d, gates + n + j);
        hn::StoreU(cell, d, gates + 2 * n + j);
        hn::StoreU(out, d, gates + 3 * n + j);
      }
      hn::StoreU(c_after, d, c + j);
      hn::StoreU(y, d, h + j);
      StoreOut<T>(y, s.out + i * s.out_row, j, s.units);
    }
  }
}

template <typename T>
HWY_NOINLINE void LstmBackward(const RecurrentStepBackward<T>& s) {
  const Tag<T> d;
  const Index n = s.padded;
  const auto one = hn::Set(d, T(1));
  for (Index i = 0; i < s.rows; ++i) {
    if (StandsStill(s, i, 4)) continue;
    const T* gates = s.gates + i * s.gates_row;
    T* d_gates = s.d_gates + i * s.d_gates_row;
    T* d_h = s.d_h + i * n;
    T* d_c = s.d_c + i * n;
    for (Index j = 0; j < n; j += kLanes<T>) {
      const auto in = hn::LoadU(d, gates + j), forget = hn::LoadU(d, gates + n + j);
      const auto cell = hn::LoadU(d, gates + 2 * n + j), out = hn::LoadU(d, gates + 3 * n + j);
      const auto c_before = hn::LoadU(d, s.kept_c + i * s.kept_row + j);
      FetchNext<T>(s, s.kept_c, 4, i, j);
      auto dh = hn::LoadU(d, d_h + j);
      if (s.d_out != nullptr) dh = dh + LoadOut<T>(s.d_out + i * s.d_out_row, j, s.units);
      const auto t = BoundedTanh<T>(hn::MulAdd(forget, c_before, in * cell));
      const auto dc = hn::MulAdd(dh * out, hn::NegMulAdd(t, t, one), hn::LoadU(d, d_c + j));
      StoreGate<T>(dc * cell * in * (one - in), d_gates, s.d_bias, j);
      StoreGate<T>(dc * c_before * forget * (one - forget), d_gates, s.d_bias, n + j);
      StoreGate<T>(dc * in * hn::NegMulAdd(cell, cell, one), d_gates, s.d_bias, 2 * n + j);
      StoreGate<T>(dh * t * out * (one - out), d_gates, s.d_bias, 3 * n + j);
      hn::StoreU(dc * forget, d, d_c + j);
      hn::StoreU(hn::Zero(d), d, d_h + j);
    }
  }
}

// ---- GRU ------------------------------------------------------------------------------------------------------------

// h = n + z (h - n), and what it leaves behind.
template <typename T>
HWY_INLINE void Update(const RecurrentStep<T>& s, Index i, Index j, Vector<T> z, Vector<T> n) {
  const Tag<T> d;
  T* h = s.h + i * s.padded + j;
  const auto before = hn::LoadU(d, h);
  const auto y = hn::MulAdd(z, before - n, n);
  if (s.kept_h != nullptr) hn::StoreU(before, d, s.kept_h + i * s.kept_row + j);
  hn::StoreU(y, d, h);
  StoreOut<T>(y, s.out + i * s.out_row, j, s.units);
}

template <typename T>
HWY_NOINLINE void Gru(const RecurrentStep<T>& s) {
  const Tag<T> d;
  const Index p = s.padded;
  for (Index i = 0; i < s.rows; ++i) {
    if (StandsStill(s, i)) continue;
    T* gates = s.gates + i * s.gates_row;
    for (Index j = 0; j < p; j += kLanes<T>) {
      auto r = hn::LoadU(d, gates + j), z = hn::LoadU(d, gates + p + j);
      TwoSigmoids<T>(r, z);
      const auto inner = hn::LoadU(d, gates + 3 * p + j);
      const auto n = BoundedTanh<T>(hn::MulAdd(r, inner, hn::LoadU(d, gates + 2 * p + j)));
      if (s.kept_h != nullptr) {
        hn::StoreU(r, d, gates + j);
        hn::StoreU(z, d, gates + p + j);
        hn::StoreU(n, d, gates + 2 * p + j);
      }
      Update<T>(s, i, j, z, n);
    }
  }
}

template <typename T>
HWY_NOINLINE void GruReset(const RecurrentStep<T>& s) {
  const Tag<T> d;
  const Index p = s.padded;
  for (Index i = 0; i < s.rows; ++i) {
    T* gates = s.gates + i * s.gates_row;
    if (s.lengths != nullptr && s.position >= s.lengths[i]) {
      for (Index j = 0; j < p; ++j) gates[3 * p + j] = T(0);
      continue;
    }
    for (Index j = 0; j < p; j += kLanes<T>) {
      // Apart: a NaN in z must not reach r, which all units of n look at.
      const auto r = BoundedSigmoid<T>(hn::LoadU(d, gates + j));
      const auto z = BoundedSigmoid<T>(hn::LoadU(d, gates + p + j));
      hn::StoreU(r, d, gates + j);
      hn::StoreU(z, d, gates + p + j);
      hn::StoreU(r * hn::LoadU(d, s.h + i * p + j), d, gates + 3 * p + j);
    }
  }
}

template <typename T>
HWY_NOINLINE void GruUpdate(const RecurrentStep<T>& s) {
  const Tag<T> d;
  const Index p = s.padded;
  for (Index i = 0; i < s.rows; ++i) {
    if (StandsStill(s, i)) continue;
    T* gates = s.gates + i * s.gates_row;
    for (Index j = 0; j < p; j += kLanes<T>) {
      const auto n = BoundedTanh<T>(hn::LoadU(d, gates + 2 * p + j));
      hn::StoreU(n, d, gates + 2 * p + j);
      Update<T>(s, i, j, hn::LoadU(d, gates + p + j), n);
    }
  }
}

// What both kinds share: dz and dn (before tanh), d_h = z dh.
template <typename T>
HWY_INLINE Vector<T> UpdateBackward(const RecurrentStepBackward<T>& s, Index i, Index j) {
  const Tag<T> d;
  const Index p = s.padded;
  const auto one = hn::Set(d, T(1));
  const T* gates = s.gates + i * s.gates_row + j;
  T* d_gates = s.d_gates + i * s.d_gates_row + j;
  FetchNext<T>(s, s.kept_h, 4, i, j);
  const auto z = hn::LoadU(d, gates + p), n = hn::LoadU(d, gates + 2 * p);
  const auto before = hn::LoadU(d, s.kept_h + i * s.kept_row + j);
  auto dh = hn::LoadU(d, s.d_h + i * p + j);
  if (s.d_out != nullptr) dh = dh + LoadOut<T>(s.d_out + i * s.d_out_row, j, s.units);
  const auto rest = (one - z) * dh;
  const auto dn = rest * hn::NegMulAdd(n, n, one);
  StoreGate<T>(rest * z * (before - n), d_gates, s.d_bias + j, p);
  StoreGate<T>(dn, d_gates, s.d_bias + j, 2 * p);
  hn::StoreU(dh * z, d, s.d_h + i * p + j);
  return dn;
}

template <typename T>
HWY_NOINLINE void GruBackward(const RecurrentStepBackward<T>& s) {
  const Tag<T> d;
  const Index p = s.padded;
  const auto one = hn::Set(d, T(1));
  for (Index i = 0; i < s.rows; ++i) {
    if (StandsStill(s, i, 4)) continue;
    const T* gates = s.gates + i * s.gates_row;
    T* d_gates = s.d_gates + i * s.d_gates_row;
    for (Index j = 0; j < p; j += kLanes<T>) {
      const auto dn = UpdateBackward<T>(s, i, j);
      const auto r = hn::LoadU(d, gates + j), inner = hn::LoadU(d, gates + 3 * p + j);
      StoreGate<T>(dn * inner * r * (one - r), d_gates, s.d_bias, j);
      StoreGate<T>(dn * r, d_gates, s.d_bias, 3 * p + j);
    }
  }
}

template <typename T>
HWY_NOINLINE void GruUpdateBackward(const RecurrentStepBackward<T>& s) {
  for (Index i = 0; i < s.rows; ++i) {
    if (StandsStill(s, i, 3)) continue;
    for (Index j = 0; j < s.padded; j += kLanes<T>) UpdateBackward<T>(s, i, j);
  }
}

template <typename T>
HWY_NOINLINE void GruResetBackward(const RecurrentStepBackward<T>& s) {
  const Tag<T> d;
  const Index p = s.padded;
  const auto one = hn::Set(d, T(1));
  for (Index i = 0; i < s.rows; ++i) {
    if (s.lengths != nullptr && s.position >= s.lengths[i]) continue;
    for (Index j = 0; j < p; j += kLanes<T>) {
      const auto r = hn::LoadU(d, s.gates + i * s.gates_row + j);
      const auto before = hn::LoadU(d, s.kept_h + i * s.kept_row + j);
      const auto d_reset = hn::LoadU(d, s.d_reset + i * p + j);
      T* d_h = s.d_h + i * p + j;
      StoreGate<T>(d_reset * before * r * (one - r), s.d_gates + i * s.d_gates_row, s.d_bias, j);
      hn::StoreU(hn::MulAdd(d_reset, r, hn::LoadU(d, d_h)), d, d_h);
    }
  }
}

template <typename T>
constexpr RecurrentKernels<T> MakeTable() {
  return {kLanes<T>,          Lstm<T>,     LstmBackward<T>, Gru<T>,
          GruBackward<T>,     GruReset<T>, GruUpdate<T>,    GruUpdateBackward<T>,
          GruResetBackward<T>};
}
const RecurrentKernels<float>& TableFloat() {
  static constexpr RecurrentKernels<float> table = MakeTable<float>();
  return table;
}
const RecurrentKernels<double>& TableDouble() {
  static constexpr RecurrentKernels<double> table = MakeTable<double>();
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
const RecurrentKernels<float>& recurrent_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const RecurrentKernels<double>& recurrent_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

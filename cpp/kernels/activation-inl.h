// Silu, its relatives and the gates of gated linear units, compiled anew for each instruction set. Gelu: simd-inl.h.
#if defined(ATTENDO_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_ACTIVATION_INL_H_
#undef ATTENDO_KERNELS_ACTIVATION_INL_H_
#else
#define ATTENDO_KERNELS_ACTIVATION_INL_H_
#endif

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// σ'(x) = σ(x) (1 - σ(x))
template <typename T>
HWY_INLINE Vector<T> SigmoidCurve(Vector<T> s) {
  return s * (hn::Set(Tag<T>(), T(1)) - s);
}

// x σ(x)
template <typename T>
HWY_INLINE Vector<T> Silu(Vector<T> x) {
  return x * Sigmoid<T>(x);
}

// σ + x σ', where σ' is 0 far out and x may be infinite.
template <typename T>
HWY_INLINE Vector<T> SiluSlopeAt(Vector<T> x, Vector<T> s) {
  const auto curve = SigmoidCurve<T>(s);
  return s + hn::IfThenZeroElse(hn::Eq(curve, hn::Zero(Tag<T>())), curve * x);
}
template <typename T>
HWY_INLINE Vector<T> SiluSlope(Vector<T> x) {
  return SiluSlopeAt<T>(x, Sigmoid<T>(x));
}

// x σ(1.702 x): with u = 1.702 x its slope is that of silu at u.
template <typename T>
HWY_INLINE Vector<T> QuickGelu(Vector<T> x) {
  return x * Sigmoid<T>(x * hn::Set(Tag<T>(), T(1.702)));
}
template <typename T>
HWY_INLINE Vector<T> QuickGeluSlope(Vector<T> x) {
  return SiluSlope<T>(x * hn::Set(Tag<T>(), T(1.702)));
}

// The gates f: f(b), and f(b) with f'(b), which share their exponential.
template <typename T>
struct NoGate {
  static HWY_INLINE Vector<T> Value(Vector<T> b) { return b; }
  static HWY_INLINE Vector<T> Both(Vector<T> b, Vector<T>& slope) {
    slope = hn::Set(Tag<T>(), T(1));
    return b;
  }
};
template <typename T>
struct SigmoidGate {
  static HWY_INLINE Vector<T> Value(Vector<T> b) { return Sigmoid<T>(b); }
  static HWY_INLINE Vector<T> Both(Vector<T> b, Vector<T>& slope) {
    const auto s = Sigmoid<T>(b);
    slope = SigmoidCurve<T>(s);
    return s;
  }
};
template <typename T>
struct SiluGate {
  static HWY_INLINE Vector<T> Value(Vector<T> b) { return Silu<T>(b); }
  static HWY_INLINE Vector<T> Both(Vector<T> b, Vector<T>& slope) {
    const auto s = Sigmoid<T>(b);
    slope = SiluSlopeAt<T>(b, s);
    return b * s;
  }
};
template <typename T>
struct GeluGate {
  static HWY_INLINE Vector<T> Value(Vector<T> b) { return Gelu<T>(b); }
  static HWY_INLINE Vector<T> Both(Vector<T> b, Vector<T>& slope) {
    slope = GeluSlope<T>(b);
    return Gelu<T>(b);  // the compiler takes the tail of the normal distribution, inlined twice, once
  }
};
template <typename T>
struct GeluTanhGate {
  static HWY_INLINE Vector<T> Value(Vector<T> b) { return GeluTanh<T>(b); }
  static HWY_INLINE Vector<T> Both(Vector<T> b, Vector<T>& slope) {
    slope = GeluTanhSlope<T>(b);
    return GeluTanh<T>(b);
  }
};
template <typename T>
struct ReluGate {
  static HWY_INLINE Vector<T> Value(Vector<T> b) { return Relu<T>(b); }
  static HWY_INLINE Vector<T> Both(Vector<T> b, Vector<T>& slope) {
    const Tag<T> d;
    slope = hn::IfThenElseZero(hn::Gt(b, hn::Zero(d)), hn::Set(d, T(1)));
    return Relu<T>(b);
  }
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif

// What every kernel shares, compiled anew for each instruction set: loads of a row's tail, exp, small transposes.
#if defined(ATTENDO_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_SIMD_INL_H_
#undef ATTENDO_KERNELS_SIMD_INL_H_
#else
#define ATTENDO_KERNELS_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Index = std::ptrdiff_t;

template <typename T>
using Tag = hn::ScalableTag<T>;
template <typename T>
using Vector = hn::Vec<Tag<T>>;
template <typename T>
constexpr Index kLanes = static_cast<Index>(HWY_LANES(T));

HWY_INLINE Index Min(Index a, Index b) { return a < b ? a : b; }
HWY_INLINE Index Max(Index a, Index b) { return a > b ? a : b; }

// The first n < lanes elements, the rest filled: never reads or writes past the row.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
template <typename T>
HWY_INLINE Vector<T> LoadTail(const T* x, Index n, T fill) {
  const Tag<T> d;
  const auto valid = hn::FirstN(d, static_cast<size_t>(n));
  return hn::IfThenElse(valid, hn::MaskedLoad(valid, d, x), hn::Set(d, fill));
}
template <typename T>
HWY_INLINE void StoreTail(Vector<T> v, T* x, Index n) {
  const Tag<T> d;
  hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(n)), d, x);
}
#else
template <typename T>
HWY_INLINE Vector<T> LoadTail(const T* x, Index n, T fill) {
  HWY_ALIGN T buffer[kLanes<T>];
  for (Index i = 0; i < kLanes<T>; ++i) buffer[i] = i < n ? x[i] : fill;
  return hn::Load(Tag<T>(), buffer);
}
template <typename T>
HWY_INLINE void StoreTail(Vector<T> v, T* x, Index n) {
  HWY_ALIGN T buffer[kLanes<T>];
  hn::Store(v, Tag<T>(), buffer);
  for (Index i = 0; i < kLanes<T> && i < n; ++i) x[i] = buffer[i];
}
#endif

template <typename T>
HWY_INLINE T SumLanes(Vector<T> v) {
  return hn::GetLane(hn::SumOfLanes(Tag<T>(), v));
}

template <typename T>
HWY_INLINE T MaxLanes(Vector<T> v) {
  return hn::GetLane(hn::MaxOfLanes(Tag<T>(), v));
}

// ---- exponentials ---------------------------------------------------------------------------------------------------

// 2^k for an integral k in [-bias, bias]; -bias gives 0.
HWY_INLINE Vector<float> PowerOfTwo(Vector<float> k) {
  const Tag<float> d;
  const hn::RebindToSigned<Tag<float>> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::ConvertTo(di, k) + hn::Set(di, 127)));
}
HWY_INLINE Vector<double> PowerOfTwo(Vector<double> k) {
  const Tag<double> d;
  const hn::RebindToSigned<Tag<double>> di;
  // k + 2^52 · 1.5 holds k in its low bits; converting doubles to int64 is slow or missing on some sets.
  const auto magic = hn::Set(d, 6755399441055744.0);
  const auto bits = hn::BitCast(di, k + magic) - hn::BitCast(di, magic);
  return hn::BitCast(d, hn::ShiftLeft<52>(bits + hn::Set(di, int64_t{1023})));
}

// 2^f for |f| <= 1/2, with exactly 1 at 0 (so that a masked score gives exactly 0).
HWY_INLINE Vector<float> Exp2Fraction(Vector<float> f) {
  const Tag<float> d;
  auto p = hn::Set(d, 1.3264727551833976e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.671512904253587e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.550733744332244e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.24022242081136067f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.6931469775974747f));
  return hn::MulAdd(p, f, hn::Set(d, 1.0f));
}
HWY_INLINE Vector<double> Exp2Fraction(Vector<double> f) {
  const Tag<double> d;
  // (ln 2)^n / n!
  auto p = hn::Set(d, 1.3691488853904128881e-12);
  p = hn::MulAdd(p, f, hn::Set(d, 2.5678435993488205141e-11));
  p = hn::MulAdd(p, f, hn::Set(d, 4.4455382718708114976e-10));
  p = hn::MulAdd(p, f, hn::Set(d, 7.0549116208011233299e-9));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0178086009239699728e-7));
  p = hn::MulAdd(p, f, hn::Set(d, 1.3215486790144309488e-6));
  p = hn::MulAdd(p, f, hn::Set(d, 1.5252733804059840280e-5));
  p = hn::MulAdd(p, f, hn::Set(d, 1.5403530393381609954e-4));
  p = hn::MulAdd(p, f, hn::Set(d, 1.3333558146428443423e-3));
  p = hn::MulAdd(p, f, hn::Set(d, 9.6181291076284771620e-3));
  p = hn::MulAdd(p, f, hn::Set(d, 5.5504108664821579953e-2));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022650695910071233e-1));
  p = hn::MulAdd(p, f, hn::Set(d, 6.9314718055994530942e-1));
  return hn::MulAdd(p, f, hn::Set(d, 1.0));
}

// max(x, bound), and NaN where x is NaN.
template <typename T>
HWY_INLINE Vector<T> AtLeast(Vector<T> bound, Vector<T> x) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return hn::Max(bound, x);  // where an argument is NaN, x86 returns the second
#else
  return hn::IfThenElse(hn::Lt(x, bound), bound, x);
#endif
}

// A number so large that adding it rounds to an integer k, whose lowest bits are then those of k plus the exponent's bias:
// shifted to the place of the exponent they are 2^k, -bias giving 0.
template <typename T>
constexpr T kRounder = sizeof(T) == 4 ? T(12582912 + 127) : T(6755399441055744 + 1023);
HWY_INLINE Vector<float> PowerOfRounded(Vector<float> k) {
  const hn::RebindToUnsigned<Tag<float>> du;
  return hn::BitCast(Tag<float>(), hn::ShiftLeft<23>(hn::BitCast(du, k)));
}
HWY_INLINE Vector<double> PowerOfRounded(Vector<double> k) {
  const hn::RebindToUnsigned<Tag<double>> du;
  return hn::BitCast(Tag<double>(), hn::ShiftLeft<52>(hn::BitCast(du, k)));
}

// 2^x for x <= 0 (and a little above). -inf gives 0, NaN gives NaN; below the smallest normal number 0.
template <typename T>
HWY_INLINE Vector<T> Exp2(Vector<T> x) {
  const auto rounder = hn::Set(Tag<T>(), kRounder<T>);
  x = AtLeast<T>(hn::Set(Tag<T>(), sizeof(T) == 4 ? T(-127) : T(-1023)), x);
  const auto rounded = x + rounder;
  // p · 2^k, not an addition to the exponent bits: a NaN in p stays one.
  return Exp2Fraction(x - (rounded - rounder)) * PowerOfRounded(rounded);
}

// a b + c, rounded once, also where the instruction set has no such operation: for the few places that live by it.
template <typename T>
HWY_INLINE Vector<T> MulAddOnce(Vector<T> a, Vector<T> b, Vector<T> c) {
#if HWY_TARGET == HWY_SCALAR
  const Tag<T> d;
  if constexpr (sizeof(T) == 4) {
    return hn::Set(d, static_cast<T>(static_cast<double>(hn::GetLane(a)) * static_cast<double>(hn::GetLane(b)) +
                                     static_cast<double>(hn::GetLane(c))));
  } else {
    return hn::Set(d, __builtin_fma(hn::GetLane(a), hn::GetLane(b), hn::GetLane(c)));
  }
#else
  return hn::MulAdd(a, b, c);
#endif
}

// log2(e) in two parts.
template <typename T>
constexpr T kLog2EHigh = sizeof(T) == 4 ? T(1.44269502162933349609) : T(1.44269504088896338700);
template <typename T>
constexpr T kLog2ELow = sizeof(T) == 4 ? T(1.92596299112661746887e-8) : T(2.03552737409310331e-17);

// e^x for x <= 0 (and a little above), exactly 1 at 0. -inf gives 0, NaN gives NaN; below the smallest normal number 0.
template <typename T>
HWY_INLINE Vector<T> ExpNegative(Vector<T> x) {
  const Tag<T> d;
  const auto high = hn::Set(d, kLog2EHigh<T>), rounder = hn::Set(d, kRounder<T>);
  x = AtLeast<T>(hn::Set(d, sizeof(T) == 4 ? T(-88.0296919311) : T(-709.089565712824)), x);
  const auto rounded = hn::MulAdd(x, high, rounder);
  const auto rest = MulAddOnce<T>(x, high, rounder - rounded);
  const auto fraction = hn::MulAdd(x, hn::Set(d, kLog2ELow<T>), rest);
  return Exp2Fraction(fraction) * PowerOfRounded(rounded);
}

// e^r - 1 for |r| <= ln(2)/2, by its series.
HWY_INLINE Vector<float> Expm1Reduced(Vector<float> r) {
  const Tag<float> d;
  auto p = hn::Set(d, 1.0f / 5040);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 720));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 120));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 24));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 6));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  return hn::MulAdd(p, r * r, r);
}
HWY_INLINE Vector<double> Expm1Reduced(Vector<double> r) {
  const Tag<double> d;
  auto p = hn::Set(d, 1.0 / 87178291200.0);  // 1/14!
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 6227020800.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 479001600.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 39916800.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 3628800.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 362880.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 40320.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 5040.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 720.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 120.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 24.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 6.0));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5));
  return hn::MulAdd(p, r * r, r);
}

// x = k ln 2 + r with |r| <= ln(2)/2; ln 2 in two parts so that k·high is exact (Cody and Waite 1980).
template <typename T>
HWY_INLINE void ReduceByLn2(Vector<T> x, Vector<T>& k, Vector<T>& r) {
  const Tag<T> d;
  const auto high = hn::Set(d, sizeof(T) == 4 ? T(0.693359375) : T(0.693147180369123816490));
  const auto low = hn::Set(d, sizeof(T) == 4 ? T(-2.12194440e-4) : T(1.90821492927058770002e-10));
  k = hn::Round(x * hn::Set(d, T(1.44269504088896340736)));
  r = hn::NegMulAdd(k, low, hn::NegMulAdd(k, high, x));
}

// e^x over the whole range, within two units in the last place; overflow gives inf, subnormal results 0.
template <typename T>
HWY_INLINE Vector<T> Exp(Vector<T> x) {
  const Tag<T> d;
  const auto highest = hn::Set(d, sizeof(T) == 4 ? T(88.72283905206835) : T(709.782712893384));
  const auto lowest = hn::Set(d, sizeof(T) == 4 ? T(-87.33654475055310898657) : T(-708.39641853226408));
  const auto clamped = hn::Min(highest, hn::Max(lowest, x));
  Vector<T> k, r;
  ReduceByLn2<T>(clamped, k, r);
  // 2^k in two factors: k can be 128 (1024), whose power of two alone is out of range.
  const auto half = hn::Round(k * hn::Set(d, T(0.5)));
  auto y = (Expm1Reduced(r) + hn::Set(d, T(1))) * PowerOfTwo(half) * PowerOfTwo(k - half);
  y = hn::IfThenElse(hn::Gt(x, highest), hn::Inf(d), y);
  y = hn::IfThenZeroElse(hn::Lt(x, lowest), y);
  return hn::IfThenElse(hn::Eq(x, x), y, x);
}

// e^x - 1 for |x| <= 40, accurate near 0.
template <typename T>
HWY_INLINE Vector<T> Expm1(Vector<T> x) {
  const Tag<T> d;
  Vector<T> k, r;
  ReduceByLn2<T>(x, k, r);
  const auto scale = PowerOfTwo(k);
  return hn::MulAdd(scale, Expm1Reduced(r), scale - hn::Set(d, T(1)));
}

// tanh x = (e^{2x} - 1) / (e^{2x} + 1)
template <typename T>
HWY_INLINE Vector<T> Tanh(Vector<T> x) {
  const Tag<T> d;
  const auto bound = hn::Set(d, sizeof(T) == 4 ? T(20) : T(40));  // tanh(bound / 2) is 1 to the last bit
  const auto e = Expm1<T>(hn::Min(bound, hn::Max(hn::Neg(bound), x + x)));
  const auto y = e / (e + hn::Set(d, T(2)));
  const auto saturated =
      hn::IfThenElse(hn::Gt(hn::Abs(x), bound * hn::Set(d, T(0.5))), hn::CopySign(hn::Set(d, T(1)), x), y);
  return hn::IfThenElse(hn::Eq(x, x), saturated, x);
}

// 1 / (1 + e^-x), as e^x / (1 + e^x) for negative x.
template <typename T>
HWY_INLINE Vector<T> Sigmoid(Vector<T> x) {
  const Tag<T> d;
  const auto one = hn::Set(d, T(1));
  const auto e = ExpNegative<T>(hn::Neg(hn::Abs(x)));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one) / (one + e);
}

// max(x, 0), and NaN where x is NaN.
template <typename T>
HWY_INLINE Vector<T> Relu(Vector<T> x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(Tag<T>())), x);
}

// ---- the normal distribution, and gelu ------------------------------------------------------------------------------

// (t + a) e^{t²/2} Φ(-t) as a polynomial in u = (t - a) / (t + a), 0 <= t <= the bound below: relative error below 2^-25
// and 2^-56, by Remez's algorithm. u maps [0, inf) to [-1, 1), where the function is smooth (Shepherd and Laframboise 1981).
HWY_INLINE Vector<float> MillsPolynomial(Vector<float> u) {
  const Tag<float> d;
  auto p = hn::Set(d, -3.21739004e-4f);
  p = hn::MulAdd(p, u, hn::Set(d, -7.23404868e-4f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.74201501e-3f));
  p = hn::MulAdd(p, u, hn::Set(d, 5.66161657e-3f));
  p = hn::MulAdd(p, u, hn::Set(d, -1.35621307e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, -3.45252678e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.211311415f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.495965421f));
  return hn::MulAdd(p, u, hn::Set(d, 0.725277960f));
}
HWY_INLINE Vector<double> MillsPolynomial(Vector<double> u) {
  const Tag<double> d;
  auto p = hn::Set(d, 2.0526461860871505411e-9);
  p = hn::MulAdd(p, u, hn::Set(d, 7.2733503837364464738e-9));
  p = hn::MulAdd(p, u, hn::Set(d, -1.0262468191484501675e-8));
  p = hn::MulAdd(p, u, hn::Set(d, -6.5574422415691393666e-8));
  p = hn::MulAdd(p, u, hn::Set(d, 4.3582299376559458193e-8));
  p = hn::MulAdd(p, u, hn::Set(d, 4.3298817828392403389e-7));
  p = hn::MulAdd(p, u, hn::Set(d, -3.3764054208307116511e-7));
  p = hn::MulAdd(p, u, hn::Set(d, -2.7692539604649562528e-6));
  p = hn::MulAdd(p, u, hn::Set(d, 3.9814040003908776757e-6));
  p = hn::MulAdd(p, u, hn::Set(d, 1.6681224595749845541e-5));
  p = hn::MulAdd(p, u, hn::Set(d, -4.9762972134512425747e-5));
  p = hn::MulAdd(p, u, hn::Set(d, -5.937573137857845208e-5));
  p = hn::MulAdd(p, u, hn::Set(d, 5.4489909636875346896e-4));
  p = hn::MulAdd(p, u, hn::Set(d, -7.9786939832803774258e-4));
  p = hn::MulAdd(p, u, hn::Set(d, -2.9933767743476114902e-3));
  p = hn::MulAdd(p, u, hn::Set(d, 2.079506679994960557e-2));
  p = hn::MulAdd(p, u, hn::Set(d, -6.9118638706053274992e-2));
  p = hn::MulAdd(p, u, hn::Set(d, 1.6502036617037587997e-1));
  p = hn::MulAdd(p, u, hn::Set(d, -3.1353315667131235054e-1));
  p = hn::MulAdd(p, u, hn::Set(d, 4.9530561596997671555e-1));
  p = hn::MulAdd(p, u, hn::Set(d, -6.6538250289005663237e-1));
  return hn::MulAdd(p, u, hn::Set(d, 7.6919304975006295714e-1));
}

// Φ(-|x|), the lower tail of the normal distribution, to a few units in the last place; below the smallest normal number 0.
// Also bell = e^{-x²/2}, and t = |x| within the bound beyond which both are 0.
template <typename T>
HWY_INLINE Vector<T> NormalTail(Vector<T> x, Vector<T>& bell, Vector<T>& t) {
  const Tag<T> d;
  constexpr bool kSingle = sizeof(T) == 4;
  const auto one = hn::Set(d, T(1)), a = hn::Set(d, kSingle ? T(2.9) : T(5));
  t = hn::Min(hn::Abs(x), hn::Set(d, kSingle ? T(13.27) : T(37.66)));  // t²/2 is 127 (1023) powers of two there
  // The square in two parts: an error of it is multiplied by t²/2.
  const auto square = t * t, rest = MulAddOnce<T>(t, t, hn::Neg(square));
  const auto high = hn::Set(d, T(0.5) * kLog2EHigh<T>), rounder = hn::Set(d, kRounder<T>);
  const auto rounded = hn::NegMulAdd(square, high, rounder);
  auto fraction = MulAddOnce<T>(hn::Neg(square), high, rounder - rounded);
  fraction = hn::NegMulAdd(square, hn::Set(d, T(0.5) * kLog2ELow<T>), fraction);
  fraction = hn::NegMulAdd(rest, high, fraction);
  bell = Exp2Fraction(fraction) * PowerOfRounded(rounded);
  const auto inverse = one / (t + a);
  return bell * (MillsPolynomial(hn::NegMulAdd(a + a, inverse, one)) * inverse);
}

// x Φ(x) = max(x, 0) - |x| Φ(-|x|)
template <typename T>
HWY_INLINE Vector<T> Gelu(Vector<T> x) {
  Vector<T> bell, t;
  const auto tail = NormalTail<T>(x, bell, t);
  // Of the two -|x| only the one for negative x is not kept within the bound: -inf gives NaN, as -inf · 0 does.
  return hn::MulAdd(hn::Min(x, hn::Neg(t)), tail, Relu<T>(x));
}

// Its derivative Φ(x) + x φ(x), φ(x) = e^{-x²/2} / √(2π)
template <typename T>
HWY_INLINE Vector<T> GeluSlope(Vector<T> x) {
  const Tag<T> d;
  Vector<T> bell, t;
  const auto tail = NormalTail<T>(x, bell, t);
  // Φ(x) + x φ(x) is 1 + this for positive x, and minus this for negative x.
  const auto slope = hn::MulSub(t * hn::Set(d, T(0.398942280401432677940)), bell, tail);
  const auto one = hn::Set(d, T(1));
  const auto y = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Neg(slope), one + slope);
  return hn::IfThenElse(hn::Eq(x, x), y, x);
}

// x (1 + tanh v) / 2 = x σ(2v),  v = √(2/π) (x + 0.044715 x³)
template <typename T>
HWY_INLINE Vector<T> GeluTanh(Vector<T> x) {
  const Tag<T> d;
  const auto cubic =
      hn::MulAdd(x * x, hn::Set(d, T(2 * 0.0356774081363001)), hn::Set(d, T(2 * 0.797884560802865355880)));
  return x * Sigmoid<T>(x * cubic);
}

// σ(2v) + x σ(2v) (1 - σ(2v)) 2v'
template <typename T>
HWY_INLINE Vector<T> GeluTanhSlope(Vector<T> x) {
  const Tag<T> d;
  const auto linear = hn::Set(d, T(2 * 0.797884560802865355880)), square = x * x;
  const auto s = Sigmoid<T>(x * hn::MulAdd(square, hn::Set(d, T(2 * 0.0356774081363001)), linear));
  const auto curve = s * (hn::Set(d, T(1)) - s);
  const auto slope = x * hn::MulAdd(square, hn::Set(d, T(6 * 0.0356774081363001)), linear);
  // Far out curve is 0, and the slope may be infinite.
  return s + hn::IfThenZeroElse(hn::Eq(curve, hn::Zero(d)), curve * slope);
}

// ---- random bits ----------------------------------------------------------------------------------------------------

// True in the lanes whose element is dropped: random_bits(key, first + lane) < drop_below, as rows.h defines the bits.
template <typename T>
HWY_INLINE hn::Mask<Tag<T>> Dropped(std::uint32_t key, std::uint32_t first, std::uint32_t drop_below) {
  const hn::Rebind<std::uint32_t, Tag<T>> d;
  constexpr std::uint32_t kStep = 0x9E3779B9u;
  auto x = hn::Iota(d, 0u) * hn::Set(d, kStep) + hn::Set(d, first * kStep);
  x = hn::Xor(x, hn::Set(d, key));
  x = hn::Xor(x, hn::ShiftRight<16>(x)) * hn::Set(d, 0x7feb352du);
  x = hn::Xor(x, hn::ShiftRight<15>(x)) * hn::Set(d, 0x846ca68bu);
  x = hn::Xor(x, hn::ShiftRight<16>(x));
  if constexpr (sizeof(T) == 4) {
    return hn::RebindMask(Tag<T>(), hn::Lt(x, hn::Set(d, drop_below)));
  } else {
    const hn::RebindToSigned<Tag<T>> wide;
    const auto bits = hn::BitCast(wide, hn::PromoteTo(hn::RebindToUnsigned<Tag<T>>(), x));
    return hn::RebindMask(Tag<T>(), hn::Lt(bits, hn::Set(wide, static_cast<std::int64_t>(drop_below))));
  }
}

// v · scale where the element is kept, 0 where it is dropped (whatever v is).
template <typename T>
HWY_INLINE Vector<T> Drop(Vector<T> v, std::uint32_t key, std::uint32_t first, std::uint32_t drop_below,
                          Vector<T> scale) {
  return hn::IfThenZeroElse(Dropped<T>(key, first, drop_below), v * scale);
}

// ---- transposing ----------------------------------------------------------------------------------------------------

#if HWY_TARGET != HWY_SCALAR
HWY_INLINE void TransposeBlock(const float* src, Index src_row, float* dst, Index dst_row, float scale) {
  const hn::FixedTag<float, 4> d;
  const auto s = hn::Set(d, scale);
  const auto r0 = hn::LoadU(d, src) * s;
  const auto r1 = hn::LoadU(d, src + src_row) * s;
  const auto r2 = hn::LoadU(d, src + 2 * src_row) * s;
  const auto r3 = hn::LoadU(d, src + 3 * src_row) * s;
  const auto t0 = hn::InterleaveLower(d, r0, r2);
  const auto t1 = hn::InterleaveLower(d, r1, r3);
  const auto t2 = hn::InterleaveUpper(d, r0, r2);
  const auto t3 = hn::InterleaveUpper(d, r1, r3);
  hn::StoreU(hn::InterleaveLower(d, t0, t1), d, dst);
  hn::StoreU(hn::InterleaveUpper(d, t0, t1), d, dst + dst_row);
  hn::StoreU(hn::InterleaveLower(d, t2, t3), d, dst + 2 * dst_row);
  hn::StoreU(hn::InterleaveUpper(d, t2, t3), d, dst + 3 * dst_row);
}
HWY_INLINE void TransposeBlock(const double* src, Index src_row, double* dst, Index dst_row, double scale) {
  const hn::FixedTag<double, 2> d;
  const auto s = hn::Set(d, scale);
  const auto r0 = hn::LoadU(d, src) * s;
  const auto r1 = hn::LoadU(d, src + src_row) * s;
  hn::StoreU(hn::InterleaveLower(d, r0, r1), d, dst);
  hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, dst + dst_row);
}

#endif

// dst[c, r] = src[r, c] · scale
template <typename T>
HWY_INLINE void Transpose(const T* src, Index src_row, Index rows, Index cols, T* dst, Index dst_row, T scale) {
  Index r = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr Index kBlock = 16 / static_cast<Index>(sizeof(T));
  for (; r + kBlock <= rows; r += kBlock) {
    Index c = 0;
    for (; c + kBlock <= cols; c += kBlock) {
      TransposeBlock(src + r * src_row + c, src_row, dst + c * dst_row + r, dst_row, scale);
    }
    for (; c < cols; ++c) {
      for (Index i = r; i < r + kBlock; ++i) dst[c * dst_row + i] = src[i * src_row + c] * scale;
    }
  }
#endif
  for (; r < rows; ++r) {
    for (Index c = 0; c < cols; ++c) dst[c * dst_row + r] = src[r * src_row + c] * scale;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

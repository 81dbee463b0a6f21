#include "kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// y[i] = op(x[i])
template <typename T, class Op>
HWY_INLINE void Map(T* y, const T* x, Index n, const Op& op) {
  const Tag<T> d;
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) hn::StoreU(op(hn::LoadU(d, x + i)), d, y + i);
  if (i < n) StoreTail<T>(op(LoadTail<T>(x + i, n - i, T(0))), y + i, n - i);
}

// z[i] = op(x[i], y[i])
template <typename T, class Op>
HWY_INLINE void Zip(T* z, const T* x, const T* y, Index n, const Op& op) {
  const Tag<T> d;
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) hn::StoreU(op(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, z + i);
  if (i < n) StoreTail<T>(op(LoadTail<T>(x + i, n - i, T(0)), LoadTail<T>(y + i, n - i, T(0))), z + i, n - i);
}

// Σ op(x[i]); the tail is filled with `fill`, for which op must give 0.
template <typename T, class Op>
HWY_INLINE T Sum(const T* x, Index n, T fill, const Op& op) {
  const Tag<T> d;
  auto a = hn::Zero(d), b = hn::Zero(d);
  Index i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    a = a + op(hn::LoadU(d, x + i));
    b = b + op(hn::LoadU(d, x + i + kLanes<T>));
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) a = a + op(hn::LoadU(d, x + i));
  if (i < n) b = b + op(LoadTail<T>(x + i, n - i, fill));
  return SumLanes<T>(a + b);
}

template <typename T>
HWY_INLINE T MaxOf(const T* x, Index n) {
  const Tag<T> d;
  const T lowest = T(-__builtin_inf());
  auto m = hn::Set(d, lowest);
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) m = hn::Max(hn::LoadU(d, x + i), m);
  if (i < n) m = hn::Max(LoadTail<T>(x + i, n - i, lowest), m);
  return MaxLanes<T>(m);
}

template <typename T>
struct ExpMinus {
  Vector<T> shift;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return Exp<T>(x - shift); }
};
template <typename T>
struct Times {
  Vector<T> factor;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return x * factor; }
};
template <typename T>
struct Identity {
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return x; }
};
template <typename T>
struct SquaredDistance {
  Vector<T> mean;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const {
    const auto d = x - mean;
    return d * d;
  }
};

template <typename T>
HWY_INLINE bool IsLowest(T x) {
  return x == T(-__builtin_inf());
}

template <typename T>
HWY_NOINLINE void Softmax(T* y, const T* x, Index rows, Index n) {
  const Tag<T> d;
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    // Pass 1: the maximum, so that no exponential overflows.
    const T m = MaxOf<T>(x, n);
    const T shift = IsLowest(m) ? T(0) : m;  // -inf - (-inf) would be NaN; exp(-inf - 0) is 0
    // Pass 2: exponentials and their sum.
    Map<T>(y, x, n, ExpMinus<T>{hn::Set(d, shift)});
    const T sum = Sum<T>(y, n, T(0), Identity<T>());
    // Pass 3: divide. A sum of 0 is a row of -inf: zeros.
    Map<T>(y, y, n, Times<T>{hn::Set(d, sum == T(0) ? T(0) : T(1) / sum)});
  }
}

template <typename T>
HWY_NOINLINE void SoftmaxBackward(T* dx, const T* dy, const T* y, Index rows, Index n) {
  const Tag<T> d;
  for (Index r = 0; r < rows; ++r, dx += n, dy += n, y += n) {
    // Pass 1: Σ dy y
    auto acc = hn::Zero(d);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) acc = hn::MulAdd(hn::LoadU(d, dy + i), hn::LoadU(d, y + i), acc);
    if (i < n) acc = hn::MulAdd(LoadTail<T>(dy + i, n - i, T(0)), LoadTail<T>(y + i, n - i, T(0)), acc);
    const auto dot = hn::Set(d, SumLanes<T>(acc));
    // Pass 2: dx = y (dy - Σ dy y)
    for (i = 0; i + kLanes<T> <= n; i += kLanes<T>) {
      hn::StoreU(hn::LoadU(d, y + i) * (hn::LoadU(d, dy + i) - dot), d, dx + i);
    }
    if (i < n) {
      StoreTail<T>(LoadTail<T>(y + i, n - i, T(0)) * (LoadTail<T>(dy + i, n - i, T(0)) - dot), dx + i, n - i);
    }
  }
}

template <typename T>
HWY_INLINE T LogSumExpRow(const T* x, Index n) {
  const Tag<T> d;
  const T m = MaxOf<T>(x, n);
  const T shift = IsLowest(m) ? T(0) : m;
  const T lowest = T(-__builtin_inf());
  const T sum = Sum<T>(x, n, lowest, ExpMinus<T>{hn::Set(d, shift)});
  return shift + T(__builtin_log(static_cast<double>(sum)));
}

template <typename T>
HWY_NOINLINE void LogSumExp(T* lse, const T* x, Index rows, Index n) {
  for (Index r = 0; r < rows; ++r) lse[r] = LogSumExpRow<T>(x + r * n, n);
}

template <typename T>
HWY_NOINLINE void SoftmaxMinus(T* dx, const T* x, const T* lse, const T* scale, T smoothing, Index rows, Index n) {
  const Tag<T> d;
  const auto minus = hn::Set(d, smoothing);
  for (Index r = 0; r < rows; ++r, dx += n, x += n) {
    if (scale[r] == T(0)) {
      for (Index i = 0; i < n; ++i) dx[i] = T(0);
      continue;
    }
    const auto shift = hn::Set(d, lse[r]);
    const auto factor = hn::Set(d, scale[r]);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      hn::StoreU((Exp<T>(hn::LoadU(d, x + i) - shift) - minus) * factor, d, dx + i);
    }
    if (i < n) StoreTail<T>((Exp<T>(LoadTail<T>(x + i, n - i, T(0)) - shift) - minus) * factor, dx + i, n - i);
  }
}

template <typename T>
HWY_NOINLINE void LayerNorm(T* y, T* mean, T* rstd, const T* x, const T* gamma, const T* beta, T eps, Index rows,
                            Index n) {
  const Tag<T> d;
  const auto one = hn::Set(d, T(1));
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    const T mu = Sum<T>(x, n, T(0), Identity<T>()) / T(n);
    const T var = Sum<T>(x, n, mu, SquaredDistance<T>{hn::Set(d, mu)}) / T(n);
    const T scale = T(1) / T(__builtin_sqrt(static_cast<double>(var + eps)));
    mean[r] = mu;
    rstd[r] = scale;
    const auto m = hn::Set(d, mu), s = hn::Set(d, scale);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      const auto g = gamma ? hn::LoadU(d, gamma + i) : one;
      const auto b = beta ? hn::LoadU(d, beta + i) : hn::Zero(d);
      hn::StoreU(hn::MulAdd((hn::LoadU(d, x + i) - m) * s, g, b), d, y + i);
    }
    if (i < n) {
      const auto g = gamma ? LoadTail<T>(gamma + i, n - i, T(0)) : one;
      const auto b = beta ? LoadTail<T>(beta + i, n - i, T(0)) : hn::Zero(d);
      StoreTail<T>(hn::MulAdd((LoadTail<T>(x + i, n - i, T(0)) - m) * s, g, b), y + i, n - i);
    }
  }
}

// One vector of a row of layer norm's backward: x̂ and g = dy·γ, and what they add to dγ and dβ.
template <typename T>
struct NormRow {
  const T *dy, *x, *gamma;
  T *d_gamma, *d_beta;
  Vector<T> mean, rstd;

  HWY_INLINE Vector<T> Normal(Vector<T> v) const { return (v - mean) * rstd; }

  HWY_INLINE void First(Index i, Vector<T>& sum_g, Vector<T>& sum_gx) const {
    const Tag<T> d;
    const auto dyv = hn::LoadU(d, dy + i);
    const auto xhat = Normal(hn::LoadU(d, x + i));
    const auto g = gamma ? dyv * hn::LoadU(d, gamma + i) : dyv;
    sum_g = sum_g + g;
    sum_gx = hn::MulAdd(g, xhat, sum_gx);
    if (d_gamma) hn::StoreU(hn::MulAdd(dyv, xhat, hn::LoadU(d, d_gamma + i)), d, d_gamma + i);
    if (d_beta) hn::StoreU(dyv + hn::LoadU(d, d_beta + i), d, d_beta + i);
  }
  HWY_INLINE void FirstTail(Index i, Index n, Vector<T>& sum_g, Vector<T>& sum_gx) const {
    const auto dyv = LoadTail<T>(dy + i, n, T(0));
    const auto xhat = Normal(LoadTail<T>(x + i, n, T(0)));
    const auto g = gamma ? dyv * LoadTail<T>(gamma + i, n, T(0)) : dyv;
    sum_g = sum_g + g;
    sum_gx = hn::MulAdd(g, xhat, sum_gx);
    if (d_gamma) StoreTail<T>(hn::MulAdd(dyv, xhat, LoadTail<T>(d_gamma + i, n, T(0))), d_gamma + i, n);
    if (d_beta) StoreTail<T>(dyv + LoadTail<T>(d_beta + i, n, T(0)), d_beta + i, n);
  }
};

template <typename T>
HWY_NOINLINE void LayerNormBackward(T* dx, T* d_gamma, T* d_beta, const T* dy, const T* x, const T* mean, const T* rstd,
                                    const T* gamma, Index rows, Index n) {
  const Tag<T> d;
  for (Index r = 0; r < rows; ++r, dy += n, x += n) {
    const NormRow<T> row{dy, x, gamma, d_gamma, d_beta, hn::Set(d, mean[r]), hn::Set(d, rstd[r])};
    // Pass 1: Σ g and Σ g x̂, and this row's share of dγ = Σ dy x̂, dβ = Σ dy.
    auto sum_g = hn::Zero(d), sum_gx = hn::Zero(d);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) row.First(i, sum_g, sum_gx);
    if (i < n) row.FirstTail(i, n - i, sum_g, sum_gx);
    if (dx == nullptr) continue;
    // Pass 2: dx = σ⁻¹ (g - mean(g) - x̂ mean(g x̂))
    const auto mean_g = hn::Set(d, SumLanes<T>(sum_g) / T(n));
    const auto mean_gx = hn::Set(d, SumLanes<T>(sum_gx) / T(n));
    for (i = 0; i + kLanes<T> <= n; i += kLanes<T>) {
      const auto dyv = hn::LoadU(d, dy + i);
      const auto g = gamma ? dyv * hn::LoadU(d, gamma + i) : dyv;
      const auto xhat = row.Normal(hn::LoadU(d, x + i));
      hn::StoreU(row.rstd * (g - mean_g - xhat * mean_gx), d, dx + i);
    }
    if (i < n) {
      const auto dyv = LoadTail<T>(dy + i, n - i, T(0));
      const auto g = gamma ? dyv * LoadTail<T>(gamma + i, n - i, T(0)) : dyv;
      const auto xhat = row.Normal(LoadTail<T>(x + i, n - i, T(0)));
      StoreTail<T>(row.rstd * (g - mean_g - xhat * mean_gx), dx + i, n - i);
    }
    dx += n;
  }
}

// Functions of one number, and derivatives times what comes from above, over flat arrays.
#define ATTENDO_MAP(Name, Function)                                               \
  template <typename T>                                                           \
  struct Name##Op {                                                               \
    HWY_INLINE Vector<T> operator()(Vector<T> x) const { return Function<T>(x); } \
  };                                                                              \
  template <typename T>                                                           \
  HWY_NOINLINE void Name(T* y, const T* x, Index n) {                             \
    Map<T>(y, x, n, Name##Op<T>());                                               \
  }
#define ATTENDO_MAP_BACKWARD(Name, Slope)                                                         \
  template <typename T>                                                                           \
  struct Name##Op {                                                                               \
    HWY_INLINE Vector<T> operator()(Vector<T> dy, Vector<T> x) const { return dy * Slope<T>(x); } \
  };                                                                                              \
  template <typename T>                                                                           \
  HWY_NOINLINE void Name(T* dx, const T* dy, const T* x, Index n) {                               \
    Zip<T>(dx, dy, x, n, Name##Op<T>());                                                          \
  }
ATTENDO_MAP(ExpFlat, Exp)
ATTENDO_MAP(TanhFlat, Tanh)
ATTENDO_MAP(SigmoidFlat, Sigmoid)
ATTENDO_MAP(GeluFlat, Gelu)
ATTENDO_MAP(GeluTanhFlat, GeluTanh)
ATTENDO_MAP_BACKWARD(GeluBackward, GeluSlope)
ATTENDO_MAP_BACKWARD(GeluTanhBackward, GeluTanhSlope)
#undef ATTENDO_MAP
#undef ATTENDO_MAP_BACKWARD

template <typename T>
HWY_NOINLINE void Dropout(T* y, const T* x, std::uint64_t stream, std::uint64_t first, std::uint32_t drop_below,
                          T scale, Index n) {
  const Tag<T> d;
  const auto factor = hn::Set(d, scale);
  while (n > 0) {
    // Up to the end of a row of random bits.
    const std::uint32_t key = row_key(stream, first / kRandomRow);
    const std::uint64_t column = first % kRandomRow;
    const Index end = Min(n, static_cast<Index>(kRandomRow - column));
    std::uint32_t at = static_cast<std::uint32_t>(column);
    Index i = 0;
    for (; i + kLanes<T> <= end; i += kLanes<T>, at += static_cast<std::uint32_t>(kLanes<T>)) {
      hn::StoreU(Drop<T>(hn::LoadU(d, x + i), key, at, drop_below, factor), d, y + i);
    }
    if (i < end) {
      StoreTail<T>(Drop<T>(LoadTail<T>(x + i, end - i, T(0)), key, at, drop_below, factor), y + i, end - i);
    }
    x += end, y += end, n -= end;
    first += static_cast<std::uint64_t>(end);
  }
}

template <typename T>
struct AdamStep {
  Vector<T> rate, beta1, beta2, eps, correction, l2, keep, scale, one;

  HWY_INLINE void operator()(Vector<T>& w, Vector<T>& m, Vector<T>& v, Vector<T> g) const {
    g = hn::MulAdd(l2, w, g * scale);
    m = hn::MulAdd(beta1, m, (one - beta1) * g);
    v = hn::MulAdd(beta2, v, (one - beta2) * g * g);
    const auto step = rate * m / hn::MulAdd(hn::Sqrt(v), correction, eps);
    w = w * keep - step;
  }
};

template <typename T>
HWY_NOINLINE void Adam(T* w, T* m, T* v, const T* g, T rate, T beta1, T beta2, T eps, T rsqrt_correction2, T l2,
                       T decay, T grad_scale, Index n) {
  const Tag<T> d;
  const AdamStep<T> step{hn::Set(d, rate),
                         hn::Set(d, beta1),
                         hn::Set(d, beta2),
                         hn::Set(d, eps),
                         hn::Set(d, rsqrt_correction2),
                         hn::Set(d, l2),
                         hn::Set(d, T(1) - decay),
                         hn::Set(d, grad_scale),
                         hn::Set(d, T(1))};
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    auto wv = hn::LoadU(d, w + i), mv = hn::LoadU(d, m + i), vv = hn::LoadU(d, v + i);
    step(wv, mv, vv, hn::LoadU(d, g + i));
    hn::StoreU(wv, d, w + i);
    hn::StoreU(mv, d, m + i);
    hn::StoreU(vv, d, v + i);
  }
  if (i < n) {
    auto wv = LoadTail<T>(w + i, n - i, T(0)), mv = LoadTail<T>(m + i, n - i, T(0)),
         vv = LoadTail<T>(v + i, n - i, T(0));
    step(wv, mv, vv, LoadTail<T>(g + i, n - i, T(0)));
    StoreTail<T>(wv, w + i, n - i);
    StoreTail<T>(mv, m + i, n - i);
    StoreTail<T>(vv, v + i, n - i);
  }
}

template <typename T>
constexpr RowKernels<T> MakeTable() {
  return {Softmax<T>,           SoftmaxBackward<T>, LogSumExp<T>,        SoftmaxMinus<T>, LayerNorm<T>,
          LayerNormBackward<T>, ExpFlat<T>,         TanhFlat<T>,         SigmoidFlat<T>,  GeluFlat<T>,
          GeluBackward<T>,      GeluTanhFlat<T>,    GeluTanhBackward<T>, Dropout<T>,      Adam<T>};
}
const RowKernels<float>& TableFloat() {
  static constexpr RowKernels<float> table = MakeTable<float>();
  return table;
}
const RowKernels<double>& TableDouble() {
  static constexpr RowKernels<double> table = MakeTable<double>();
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
const RowKernels<float>& row_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const RowKernels<double>& row_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

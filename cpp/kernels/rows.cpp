#include "kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cpp"
#include <hwy/cache_control.h>
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
struct ExpMinus {  // shift is at least x
  Vector<T> shift;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return ExpNegative<T>(x - shift); }
};
template <typename T>
struct Times {
  Vector<T> factor;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return x * factor; }
};
template <typename T>
struct Plus {
  HWY_INLINE Vector<T> operator()(Vector<T> a, Vector<T> b) const { return a + b; }
};
template <typename T>
struct Minus {
  Vector<T> amount;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return x - amount; }
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
    const ExpMinus<T> exponential{hn::Set(d, shift)};
    auto total = hn::Zero(d);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      const auto e = exponential(hn::LoadU(d, x + i));
      total = total + e;
      hn::StoreU(e, d, y + i);
    }
    if (i < n) {
      const auto e = exponential(LoadTail<T>(x + i, n - i, T(-__builtin_inf())));
      total = total + e;
      StoreTail<T>(e, y + i, n - i);
    }
    const T sum = SumLanes<T>(total);
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

// In one pass over memory: blocks that stay in the cache, and a sum that is scaled down when the maximum grows.
template <typename T>
HWY_INLINE T LogSumExpRow(const T* x, Index n) {
  const Tag<T> d;
  constexpr Index kBlock = 2048;
  const T lowest = T(-__builtin_inf());
  T m = lowest, sum = T(0);
  for (Index first = 0; first < n; first += kBlock) {
    const Index count = Min(kBlock, n - first);
    const T block = MaxOf<T>(x + first, count);
    if (block > m) {
      if (sum != T(0)) sum *= hn::GetLane(ExpNegative<T>(hn::Set(d, m - block)));
      m = block;
    }
    sum += Sum<T>(x + first, count, lowest, ExpMinus<T>{hn::Set(d, IsLowest(m) ? T(0) : m)});
  }
  return (IsLowest(m) ? T(0) : m) + T(__builtin_log(static_cast<double>(sum)));
}

template <typename T>
HWY_NOINLINE void LogSumExp(T* lse, const T* x, Index rows, Index n) {
  for (Index r = 0; r < rows; ++r) lse[r] = LogSumExpRow<T>(x + r * n, n);
}

template <typename T>
struct GapTo {
  Vector<T> top;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return top - x; }
};

template <typename T>
HWY_NOINLINE void SumOfGaps(T* gap, const T* x, const T* lse, Index rows, Index n) {
  for (Index r = 0; r < rows; ++r) gap[r] = Sum<T>(x + r * n, n, lse[r], GapTo<T>{hn::Set(Tag<T>(), lse[r])});
}

template <typename T>
struct SoftmaxMinusOp {
  Vector<T> shift, minus, factor;
  HWY_INLINE Vector<T> operator()(Vector<T> x) const { return (ExpNegative<T>(x - shift) - minus) * factor; }
};

template <typename T>
HWY_NOINLINE void SoftmaxMinus(T* dx, const T* x, const T* lse, const T* scale, T smoothing, bool stream, Index rows,
                               Index n) {
  const Tag<T> d;
  for (Index r = 0; r < rows; ++r, dx += n, x += n) {
    if (scale[r] == T(0)) {
      for (Index i = 0; i < n; ++i) dx[i] = T(0);
      continue;
    }
    const SoftmaxMinusOp<T> op{hn::Set(d, lse[r]), hn::Set(d, smoothing), hn::Set(d, scale[r])};
    if (!stream) {
      Map<T>(dx, x, n, op);
      continue;
    }
    // Whole aligned vectors past the cache, which need not read what they replace.
    constexpr std::uintptr_t kBytes = sizeof(T) * static_cast<size_t>(kLanes<T>);
    const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(dx) % kBytes;
    Index i = past == 0 ? 0 : Min(n, static_cast<Index>((kBytes - past) / sizeof(T)));
    Map<T>(dx, x, i, op);
    for (; i + kLanes<T> <= n; i += kLanes<T>) hn::Stream(op(hn::LoadU(d, x + i)), d, dx + i);
    Map<T>(dx + i, x + i, n - i, op);
  }
  if (stream) hwy::FlushStream();
}

template <typename T>
HWY_NOINLINE void LogSoftmax(T* y, const T* x, Index rows, Index n) {
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    const T lse = LogSumExpRow<T>(x, n);
    // A row of -inf has no distribution: its logarithm stays -inf, with zero gradient.
    Map<T>(y, x, n, Minus<T>{hn::Set(Tag<T>(), IsLowest(lse) ? T(0) : lse)});
  }
}

template <typename T>
struct LogSoftmaxSlope {
  Vector<T> live, sum;
  HWY_INLINE Vector<T> operator()(Vector<T> dy, Vector<T> y) const {
    return hn::NegMulAdd(ExpNegative<T>(y), sum, dy * live);
  }
};

template <typename T>
HWY_NOINLINE void LogSoftmaxBackward(T* dx, const T* dy, const T* y, Index rows, Index n) {
  const Tag<T> d;
  for (Index r = 0; r < rows; ++r, dx += n, dy += n, y += n) {
    const T live = IsLowest(MaxOf<T>(y, n)) ? T(0) : T(1);
    const T sum = Sum<T>(dy, n, T(0), Identity<T>());
    Zip<T>(dx, dy, y, n, LogSoftmaxSlope<T>{hn::Set(d, live), hn::Set(d, sum)});
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

// Layer norm's backward over kRows rows at once, so that γ, dγ and dβ are loaded and stored once for all of them. dγ and
// dβ are added to row after row, as with one row.
template <typename T, int kRows>
struct NormRows {
  Index n;
  const T *dy, *x, *gamma;
  T *dx, *d_gamma, *d_beta;
  Vector<T> rstd[kRows], shift[kRows];  // x̂ = (x - μ) / σ

  HWY_INLINE Vector<T> Load(const T* from, Index i, bool whole) const {
    return whole ? hn::LoadU(Tag<T>(), from + i) : LoadTail<T>(from + i, n - i, T(0));
  }
  HWY_INLINE void Store(Vector<T> v, T* to, Index i, bool whole) const {
    whole ? hn::StoreU(v, Tag<T>(), to + i) : StoreTail<T>(v, to + i, n - i);
  }

  // Σ g and Σ g x̂ of each row, and its share of dγ = Σ dy x̂, dβ = Σ dy.
  HWY_INLINE void Sums(Index i, bool whole, Vector<T>* sum_g, Vector<T>* sum_gx) const {
    const Tag<T> d;
    const auto scale = gamma ? Load(gamma, i, whole) : hn::Set(d, T(1));
    auto total_gamma = d_gamma ? Load(d_gamma, i, whole) : hn::Zero(d);
    auto total_beta = d_beta ? Load(d_beta, i, whole) : hn::Zero(d);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto dyv = Load(dy + r * n, i, whole);
      const auto xhat = (Load(x + r * n, i, whole) - shift[r]) * rstd[r];
      const auto g = dyv * scale;
      sum_g[r] = sum_g[r] + g;
      sum_gx[r] = hn::MulAdd(g, xhat, sum_gx[r]);
      total_gamma = hn::MulAdd(dyv, xhat, total_gamma);
      total_beta = total_beta + dyv;
    }
    if (d_gamma) Store(total_gamma, d_gamma, i, whole);
    if (d_beta) Store(total_beta, d_beta, i, whole);
  }

  // dx = σ⁻¹ (g - mean(g) - x̂ mean(g x̂))
  HWY_INLINE void Gradient(Index i, bool whole, const Vector<T>* mean_g, const Vector<T>* mean_gx) const {
    const auto scale = gamma ? Load(gamma, i, whole) : hn::Set(Tag<T>(), T(1));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto xhat = (Load(x + r * n, i, whole) - shift[r]) * rstd[r];
      const auto g = Load(dy + r * n, i, whole) * scale;
      Store(rstd[r] * hn::NegMulAdd(xhat, mean_gx[r], g - mean_g[r]), dx + r * n, i, whole);
      // The same place of the rows to come: several rows at a time are no pattern that the processor foresees.
      hwy::Prefetch(dy + (kRows + r) * n + i);
      hwy::Prefetch(x + (kRows + r) * n + i);
    }
  }

  HWY_INLINE void Run() const {
    const Tag<T> d;
    Vector<T> a[kRows], b[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) a[r] = b[r] = hn::Zero(d);
    Index i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) Sums(i, true, a, b);
    if (i < n) Sums(i, false, a, b);
    if (dx == nullptr) return;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      a[r] = hn::Set(d, SumLanes<T>(a[r]) / T(n));
      b[r] = hn::Set(d, SumLanes<T>(b[r]) / T(n));
    }
    for (i = 0; i + kLanes<T> <= n; i += kLanes<T>) Gradient(i, true, a, b);
    if (i < n) Gradient(i, false, a, b);
  }
};

template <typename T, int kRows>
HWY_INLINE void LayerNormBackwardRows(T* dx, T* d_gamma, T* d_beta, const T* dy, const T* x, const T* mean,
                                      const T* rstd, const T* gamma, Index n) {
  const Tag<T> d;
  NormRows<T, kRows> rows{n, dy, x, gamma, dx, d_gamma, d_beta, {}, {}};
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    rows.rstd[r] = hn::Set(d, rstd[r]);
    rows.shift[r] = hn::Set(d, mean[r]);
  }
  rows.Run();
}

template <typename T>
HWY_NOINLINE void LayerNormBackward(T* dx, T* d_gamma, T* d_beta, const T* dy, const T* x, const T* mean, const T* rstd,
                                    const T* gamma, Index rows, Index n) {
  constexpr int kRows = 4;
  Index r = 0;
  for (; r + kRows <= rows; r += kRows) {
    LayerNormBackwardRows<T, kRows>(dx ? dx + r * n : dx, d_gamma, d_beta, dy + r * n, x + r * n, mean + r, rstd + r,
                                    gamma, n);
  }
  for (; r < rows; ++r) {
    LayerNormBackwardRows<T, 1>(dx ? dx + r * n : dx, d_gamma, d_beta, dy + r * n, x + r * n, mean + r, rstd + r, gamma,
                                n);
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
HWY_NOINLINE void AddDropout(T* y, const T* x, const T* r, std::uint64_t stream, std::uint64_t first,
                             std::uint32_t drop_below, T scale, Index n) {
  if (drop_below == 0 && scale == T(1)) {
    Zip<T>(y, x, r, n, Plus<T>());
    return;
  }
  const Tag<T> d;
  const auto factor = hn::Set(d, scale);
  while (n > 0) {
    const std::uint32_t key = row_key(stream, first / kRandomRow);
    const std::uint64_t column = first % kRandomRow;
    const Index end = Min(n, static_cast<Index>(kRandomRow - column));
    std::uint32_t at = static_cast<std::uint32_t>(column);
    Index i = 0;
    for (; i + kLanes<T> <= end; i += kLanes<T>, at += static_cast<std::uint32_t>(kLanes<T>)) {
      hn::StoreU(hn::LoadU(d, x + i) + Drop<T>(hn::LoadU(d, r + i), key, at, drop_below, factor), d, y + i);
    }
    if (i < end) {
      const auto kept = Drop<T>(LoadTail<T>(r + i, end - i, T(0)), key, at, drop_below, factor);
      StoreTail<T>(LoadTail<T>(x + i, end - i, T(0)) + kept, y + i, end - i);
    }
    x += end, r += end, y += end, n -= end;
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
HWY_INLINE AdamStep<T> MakeAdamStep(T rate, T beta1, T beta2, T eps, T rsqrt_correction2, T l2, T decay, T grad_scale) {
  const Tag<T> d;
  return {hn::Set(d, rate),
          hn::Set(d, beta1),
          hn::Set(d, beta2),
          hn::Set(d, eps),
          hn::Set(d, rsqrt_correction2),
          hn::Set(d, l2),
          hn::Set(d, T(1) - decay),
          hn::Set(d, grad_scale),
          hn::Set(d, T(1))};
}

template <typename T>
HWY_INLINE void AdamFlat(const AdamStep<T>& step, T* w, T* m, T* v, const T* g, Index n) {
  const Tag<T> d;
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
HWY_NOINLINE void Adam(T* w, T* m, T* v, const T* g, T rate, T beta1, T beta2, T eps, T rsqrt_correction2, T l2,
                       T decay, T grad_scale, Index n) {
  AdamFlat(MakeAdamStep(rate, beta1, beta2, eps, rsqrt_correction2, l2, decay, grad_scale), w, m, v, g, n);
}

template <typename T>
HWY_NOINLINE void AdamRows(T* w, T* m, T* v, const T* g, const std::int64_t* ids, T rate, T beta1, T beta2, T eps,
                           T rsqrt_correction2, T grad_scale, Index rows, Index d) {
  const auto step = MakeAdamStep(rate, beta1, beta2, eps, rsqrt_correction2, T(0), T(0), grad_scale);
  constexpr Index kAhead = 4;  // rows fetched before their turn: they lie anywhere
  const Index fetched = Min(d * static_cast<Index>(sizeof(T)), 512);
  for (Index r = 0; r < rows; ++r) {
    if (r + kAhead < rows) {
      const Index next = static_cast<Index>(ids[r + kAhead]) * d;
      for (Index b = 0; b < fetched; b += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(w + next) + b, 1);
        __builtin_prefetch(reinterpret_cast<const char*>(m + next) + b, 1);
        __builtin_prefetch(reinterpret_cast<const char*>(v + next) + b, 1);
      }
    }
    const Index at = static_cast<Index>(ids[r]) * d;
    AdamFlat(step, w + at, m + at, v + at, g + r * d, d);
  }
}

template <typename T>
constexpr RowKernels<T> MakeTable() {
  return {Softmax<T>,           SoftmaxBackward<T>, LogSoftmax<T>,   LogSoftmaxBackward<T>,
          LogSumExp<T>,         SumOfGaps<T>,       SoftmaxMinus<T>, LayerNorm<T>,
          LayerNormBackward<T>, ExpFlat<T>,         TanhFlat<T>,     SigmoidFlat<T>,
          GeluFlat<T>,          GeluBackward<T>,    GeluTanhFlat<T>, GeluTanhBackward<T>,
          Dropout<T>,           AddDropout<T>,      Adam<T>,         AdamRows<T>};
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

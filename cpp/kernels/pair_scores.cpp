#include "kernels/pair_scores.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pair_scores.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// With E = e^{2q} e^{2k}, tanh(q + k) = (E - 1) / (E + 1): exponentials of rows, one division a pair. Within this bound of
// both |q| and |k| no exponential leaves the range; beyond it ("far") the sum itself goes through Tanh.
template <typename T>
constexpr T kFar = sizeof(T) == 4 ? T(20) : T(170);
constexpr Index kVectors = 4;  // a panel of keys
template <typename T>
constexpr Index kPanel = kVectors * kLanes<T>;

HWY_INLINE Index Panels(Index keys, Index panel) { return (keys + panel - 1) / panel; }

// Prepared keys: k in panels; for the additive score e^{2k} likewise, 1 or 0 for each key that is far, and whether any is.
template <typename T>
struct Prepared {
  const T *k, *exponentials, *far;
  bool any_far;
  Prepared(PairScore kind, const PairScoreHead<T>& head) {
    const Index panels = Panels(head.keys, kPanel<T>), size = panels * head.features * kPanel<T>;
    k = head.prepared, exponentials = k + size, far = exponentials + size;
    any_far = kind == PairScore::kAdditive && far[panels * kPanel<T>] != T(0);
  }
};

template <typename T>
Index PreparedSize(PairScore kind, Index keys, Index features) {
  const Index padded = Panels(keys, kPanel<T>) * kPanel<T>;
  return kind == PairScore::kAdditive ? padded * (2 * features + 1) + 1 : padded * features;
}

template <typename T>
Index DKeysSize(Index keys, Index features) {
  return Panels(keys, kPanel<T>) * kPanel<T> * features;
}

// Exponentials of a query; sums of d_q and of d_w, a vector a feature.
template <typename T>
Index ScratchSize(Index features) {
  return (features + kLanes<T>)+2 * features * kLanes<T>;
}

template <typename T>
HWY_NOINLINE void Prepare(PairScore kind, const T* k, Index k_row, Index keys, Index features, T* prepared) {
  const Tag<T> d;
  const Index panels = Panels(keys, kPanel<T>), panel = features * kPanel<T>;
  for (Index p = 0; p < panels; ++p) {
    const Index first = p * kPanel<T>, count = Min(kPanel<T>, keys - first);
    T* to = prepared + p * panel;
    Transpose<T>(k + first * k_row, k_row, count, features, to, kPanel<T>, T(1));
    for (Index a = 0; a < features; ++a) {
      for (Index c = count; c < kPanel<T>; ++c) to[a * kPanel<T> + c] = T(0);
    }
  }
  if (kind != PairScore::kAdditive) return;
  T* exponentials = prepared + panels * panel;
  T* far = exponentials + panels * panel;
  const auto bound = hn::Set(d, kFar<T>), one = hn::Set(d, T(1));
  auto any = hn::Zero(d);
  for (Index p = 0; p < panels; ++p) {
    for (Index v = 0; v < kVectors; ++v) {
      auto is_far = hn::Zero(d);
      for (Index a = 0; a < features; ++a) {
        const Index i = p * panel + a * kPanel<T> + v * kLanes<T>;
        const auto x = hn::LoadU(d, prepared + i);
        hn::StoreU(Exp<T>(x + x), d, exponentials + i);
        is_far = hn::IfThenElse(hn::Le(hn::Abs(x), bound), is_far, one);  // NaN is far
      }
      hn::StoreU(is_far, d, far + p * kPanel<T> + v * kLanes<T>);
      any = hn::Max(any, is_far);
    }
  }
  far[panels * kPanel<T>] = MaxLanes<T>(any);
}

// e^{2q} of one query; true where the query is far.
template <typename T>
HWY_INLINE bool Exponentials(const T* q, Index features, T* to) {
  const Tag<T> d;
  const auto bound = hn::Set(d, kFar<T>);
  bool far = false;
  for (Index a = 0; a < features; a += kLanes<T>) {
    const auto x = a + kLanes<T> <= features ? hn::LoadU(d, q + a) : LoadTail<T>(q + a, features - a, T(0));
    hn::StoreU(Exp<T>(x + x), d, to + a);
    far = far || !hn::AllTrue(d, hn::Le(hn::Abs(x), bound));
  }
  return far;
}

// tanh(q + k) of one feature of one query with a vector of keys. kSome: keys may be far, or the query is.
template <bool kSome, typename T>
HWY_INLINE Vector<T> PairTanh(Vector<T> q, Vector<T> exp_q, bool far_query, const T* k, const T* exp_k, const T* far) {
  const Tag<T> d;
  const auto one = hn::Set(d, T(1));
  const auto e = exp_q * hn::LoadU(d, exp_k);
  const auto near = (e - one) / (e + one);
  if constexpr (!kSome) return near;
  const auto exact = Tanh<T>(q + hn::LoadU(d, k));
  if (far_query) return exact;
  return hn::IfThenElse(hn::Gt(hn::LoadU(d, far), hn::Zero(d)), exact, near);
}

template <typename T>
HWY_INLINE void StoreScores(const Vector<T>* s, T* scores, Index keys) {
  for (Index v = 0; v < kVectors; ++v) {
    const Index left = keys - v * kLanes<T>;
    if (left >= kLanes<T>) {
      hn::StoreU(s[v], Tag<T>(), scores + v * kLanes<T>);
    } else if (left > 0) {
      StoreTail<T>(s[v], scores + v * kLanes<T>, left);
    }
  }
}

template <bool kSome, typename T>
HWY_INLINE void AdditiveRow(const PairScoreHead<T>& head, const Prepared<T>& keys, const T* q, const T* exp_q,
                            bool far_query, T* scores) {
  const Tag<T> d;
  for (Index p = 0; p * kPanel<T> < head.keys; ++p) {
    const Index at = p * head.features * kPanel<T>;
    const T* far = keys.far + p * kPanel<T>;
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (Index a = 0; a < head.features; ++a) {
      const T* k = keys.k + at + a * kPanel<T>;
      const T* e = keys.exponentials + at + a * kPanel<T>;
      const auto qa = hn::Set(d, q[a]), ea = hn::Set(d, exp_q[a]), w = hn::Set(d, head.w[a]);
      constexpr Index n = kLanes<T>;
      s0 = hn::MulAdd(w, PairTanh<kSome, T>(qa, ea, far_query, k, e, far), s0);
      s1 = hn::MulAdd(w, PairTanh<kSome, T>(qa, ea, far_query, k + n, e + n, far + n), s1);
      s2 = hn::MulAdd(w, PairTanh<kSome, T>(qa, ea, far_query, k + 2 * n, e + 2 * n, far + 2 * n), s2);
      s3 = hn::MulAdd(w, PairTanh<kSome, T>(qa, ea, far_query, k + 3 * n, e + 3 * n, far + 3 * n), s3);
    }
    const Vector<T> s[kVectors] = {s0, s1, s2, s3};
    StoreScores<T>(s, scores + p * kPanel<T>, head.keys - p * kPanel<T>);
  }
}

template <typename T>
HWY_INLINE void GaussianRow(const PairScoreHead<T>& head, const Prepared<T>& keys, const T* q, T* scores) {
  const Tag<T> d;
  for (Index p = 0; p * kPanel<T> < head.keys; ++p) {
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (Index a = 0; a < head.features; ++a) {
      const T* k = keys.k + p * head.features * kPanel<T> + a * kPanel<T>;
      const auto qa = hn::Set(d, q[a]), w = hn::Set(d, head.w[a]);
      const auto x0 = qa - hn::LoadU(d, k), x1 = qa - hn::LoadU(d, k + kLanes<T>);
      const auto x2 = qa - hn::LoadU(d, k + 2 * kLanes<T>), x3 = qa - hn::LoadU(d, k + 3 * kLanes<T>);
      s0 = hn::NegMulAdd(w * x0, x0, s0);
      s1 = hn::NegMulAdd(w * x1, x1, s1);
      s2 = hn::NegMulAdd(w * x2, x2, s2);
      s3 = hn::NegMulAdd(w * x3, x3, s3);
    }
    const Vector<T> s[kVectors] = {s0, s1, s2, s3};
    StoreScores<T>(s, scores + p * kPanel<T>, head.keys - p * kPanel<T>);
  }
}

template <typename T>
HWY_NOINLINE void Forward(PairScore kind, const PairScoreHead<T>& head, T* scores, Index scores_row, T* scratch) {
  const Prepared<T> keys(kind, head);
  for (Index i = 0; i < head.rows; ++i) {
    const T* q = head.q + i * head.q_row;
    T* to = scores + i * scores_row;
    if (kind == PairScore::kGaussian) {
      GaussianRow<T>(head, keys, q, to);
      continue;
    }
    const bool far = Exponentials<T>(q, head.features, scratch);
    if (far || keys.any_far) {
      AdditiveRow<true, T>(head, keys, q, scratch, far, to);
    } else {
      AdditiveRow<false, T>(head, keys, q, scratch, far, to);
    }
  }
}

// What the backward pass of one query adds up: a vector a feature.
template <typename T>
struct RowSums {
  T *q, *w, *keys;  // d_q, d_w, and d_keys of the whole head
};

// One query against all keys, panel by panel: of each pair u goes to d_q and d_k, t to d_w; both are selected away where the
// gradient of the score is 0.
template <bool kAdditive, bool kSome, typename T>
HWY_INLINE void BackwardRow(const PairScoreHead<T>& head, const Prepared<T>& keys, const T* q, const T* exp_q,
                            bool far_query, const T* d_scores, const RowSums<T>& sums) {
  const Tag<T> d;
  const auto zero = hn::Zero(d), one = hn::Set(d, T(1));
  for (Index p = 0; p * kPanel<T> < head.keys; ++p) {
    Vector<T> g[kVectors];
    auto none = hn::Eq(zero, zero);
    for (Index v = 0; v < kVectors; ++v) {
      const Index first = p * kPanel<T> + v * kLanes<T>, left = head.keys - first;
      g[v] = left >= kLanes<T> ? hn::LoadU(d, d_scores + first)
             : left > 0        ? LoadTail<T>(d_scores + first, left, T(0))
                               : zero;
      none = hn::And(none, hn::Eq(g[v], zero));
    }
    if (hn::AllTrue(d, none)) continue;  // masked
    const Index at = p * head.features * kPanel<T>;
    const T* far = keys.far + p * kPanel<T>;
    for (Index a = 0; a < head.features; ++a) {
      const auto qa = hn::Set(d, q[a]), w = hn::Set(d, kAdditive ? head.w[a] : T(2) * head.w[a]);
      auto sum_q = hn::LoadU(d, sums.q + a * kLanes<T>), sum_w = hn::LoadU(d, sums.w + a * kLanes<T>);
      for (Index v = 0; v < kVectors; ++v) {
        const Index i = at + a * kPanel<T> + v * kLanes<T>;
        const auto zeros = hn::Eq(g[v], zero);
        Vector<T> u, t;
        if constexpr (kAdditive) {
          const auto y = PairTanh<kSome, T>(qa, hn::Set(d, exp_q[a]), far_query, keys.k + i, keys.exponentials + i,
                                            far + v * kLanes<T>);
          u = g[v] * hn::NegMulAdd(y, y, one);
          t = g[v] * y;
        } else {
          const auto x = qa - hn::LoadU(d, keys.k + i);
          u = g[v] * x;
          t = u * x;
        }
        u = hn::IfThenZeroElse(zeros, u);
        sum_q = sum_q + u;
        sum_w = sum_w + hn::IfThenZeroElse(zeros, t);
        hn::StoreU(hn::MulAdd(w, u, hn::LoadU(d, sums.keys + i)), d, sums.keys + i);
      }
      hn::StoreU(sum_q, d, sums.q + a * kLanes<T>);
      hn::StoreU(sum_w, d, sums.w + a * kLanes<T>);
    }
  }
}

template <typename T>
HWY_NOINLINE void Backward(PairScore kind, const PairScoreHead<T>& head, const T* d_scores, Index d_scores_row, T* d_q,
                           Index d_q_row, T* d_keys, T* d_w, T* scratch) {
  const Tag<T> d;
  const Prepared<T> keys(kind, head);
  T* exp_q = scratch;
  T* sum_q = exp_q + head.features + kLanes<T>;
  T* sum_w = sum_q + head.features * kLanes<T>;
  const bool additive = kind == PairScore::kAdditive;
  for (Index i = 0; i < head.features * kLanes<T>; i += kLanes<T>) hn::StoreU(hn::Zero(d), d, sum_w + i);
  for (Index i = 0; i < head.rows; ++i) {
    const T* q = head.q + i * head.q_row;
    const T* g = d_scores + i * d_scores_row;
    for (Index a = 0; a < head.features * kLanes<T>; a += kLanes<T>) hn::StoreU(hn::Zero(d), d, sum_q + a);
    const RowSums<T> sums{sum_q, sum_w, d_keys};
    if (!additive) {
      BackwardRow<false, false, T>(head, keys, q, exp_q, false, g, sums);
    } else if (const bool far = Exponentials<T>(q, head.features, exp_q); far || keys.any_far) {
      BackwardRow<true, true, T>(head, keys, q, exp_q, far, g, sums);
    } else {
      BackwardRow<true, false, T>(head, keys, q, exp_q, false, g, sums);
    }
    for (Index a = 0; a < head.features; ++a) {
      const T sum = SumLanes<T>(hn::LoadU(d, sum_q + a * kLanes<T>));
      // A query without a gradient has none, whatever w is.
      d_q[i * d_q_row + a] = sum == T(0) ? T(0) : (additive ? head.w[a] : T(-2) * head.w[a]) * sum;
    }
  }
  for (Index a = 0; a < head.features; ++a) {
    const T sum = SumLanes<T>(hn::LoadU(d, sum_w + a * kLanes<T>));
    d_w[a] += additive ? sum : -sum;
  }
}

template <typename T>
HWY_NOINLINE void FinishKeys(const T* d_keys, Index keys, Index features, T* d_k, Index d_k_row) {
  for (Index p = 0; p * kPanel<T> < keys; ++p) {
    const Index first = p * kPanel<T>;
    Transpose<T>(d_keys + p * features * kPanel<T>, kPanel<T>, features, Min(kPanel<T>, keys - first),
                 d_k + first * d_k_row, d_k_row, T(1));
  }
}

template <typename T>
constexpr PairScoreKernels<T> MakeTable() {
  return {PreparedSize<T>, DKeysSize<T>, ScratchSize<T>, Prepare<T>, Forward<T>, Backward<T>, FinishKeys<T>};
}
const PairScoreKernels<float>& TableFloat() {
  static constexpr PairScoreKernels<float> table = MakeTable<float>();
  return table;
}
const PairScoreKernels<double>& TableDouble() {
  static constexpr PairScoreKernels<double> table = MakeTable<double>();
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
const PairScoreKernels<float>& pair_score_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const PairScoreKernels<double>& pair_score_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

// Attention forward for one block of queries, keys in blocks, softmax on line (Milakov and Gimelshein 2018):
//
//   m' = max(m, max_j s_j)   l' = l 2^(m - m') + Σ_j 2^(s_j - m')   o' = o 2^(m - m') + Σ_j 2^(s_j - m') v_j
//   out = o / l
#if defined(ATTENDO_KERNELS_ATTENTION_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_ATTENTION_FORWARD_INL_H_
#undef ATTENDO_KERNELS_ATTENTION_FORWARD_INL_H_
#else
#define ATTENDO_KERNELS_ATTENTION_FORWARD_INL_H_
#endif

#include "kernels/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr Index kForwardKeys = 192;

template <typename T>
Index ForwardScratch(Index d, Index d_v) {
  return (d + d_v + 2 * kForwardKeys + 1) * kPanel<T>;
}

// The largest score of each lane.
template <typename T, int kVectors>
struct MaxBody {
  const T* s;
  Vector<T>* top;

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    const Tag<T> d;
    for (Index j = begin; j < end; ++j) {
#pragma GCC unroll 4
      for (int v = kFirst; v < kVectors; ++v) {
        top[v] = hn::Max(hn::LoadU(d, s + (j * kVectors + v) * kLanes<T>), top[v]);
      }
    }
  }
};

// Exponentials in place, and their sum; zeros where the segments leave lanes out.
template <typename T, int kVectors>
struct ExpBody {
  T* s;
  const Vector<T>* shift;
  Vector<T>* sum;

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    const Tag<T> d;
    for (Index j = begin; j < end; ++j) {
      T* row = s + j * kVectors * kLanes<T>;
#pragma GCC unroll 4
      for (int v = 0; v < kFirst; ++v) hn::StoreU(hn::Zero(d), d, row + v * kLanes<T>);
#pragma GCC unroll 4
      for (int v = kFirst; v < kVectors; ++v) {
        T* at = row + v * kLanes<T>;
        const auto p = Exp2<T>(hn::LoadU(d, at) - shift[v]);
        sum[v] = sum[v] + p;
        hn::StoreU(p, d, at);
      }
    }
  }
};

template <typename T, int kVectors>
HWY_NOINLINE void ForwardBlock(const AttentionHead<T>& h, Index q0, Index count, T* out, Index out_row, T* row_max,
                               T* row_inverse, T* scratch) {
  const Tag<T> d;
  constexpr Index kWidth = kVectors * kLanes<T>;
  T* queries = scratch;
  T* o = queries + h.d * kWidth;
  T* s = o + h.d_v * kWidth;
  T* temp = s + kForwardKeys * kWidth;
  T* alpha = temp + kForwardKeys * kWidth;
  PackQueries<T>(h.q + q0 * h.q_row, h.q_row, count, h.d, queries, kWidth, h.scale * T(kLog2E));

  const auto lowest = hn::Set(d, MinusInfinity<T>());
  Vector<T> m[kVectors], l[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) m[v] = lowest, l[v] = hn::Zero(d);

  const Index key_end = KeyEnd(h, q0, count);
  for (Index j0 = 0; j0 < key_end; j0 += kForwardKeys) {
    const Index nk = Min(kForwardKeys, key_end - j0);
    const auto segments = SegmentsOf<T, kVectors>(h, q0, j0, nk);
    // Pass 1: scores, and the maximum of each lane.
    const bool masked = ScoreTile<T, kVectors>(h, segments, queries, q0, count, j0, nk, s, temp);
    Vector<T> top[kVectors], shift[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) top[v] = m[v];
    ForEachSegment<kVectors>(segments, MaxBody<T, kVectors>{s, top});
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      // A lane that has seen no key yet keeps -inf; 0 stands in for it, since -inf - (-inf) would be NaN.
      shift[v] = hn::IfThenElse(hn::Eq(top[v], lowest), hn::Zero(d), top[v]);
      const auto factor = Exp2<T>(m[v] - shift[v]);
      l[v] = l[v] * factor;
      m[v] = top[v];
      hn::StoreU(factor, d, alpha + v * kLanes<T>);
    }
    // Pass 2: exponentials in place, and their sum.
    ForEachSegment<kVectors>(segments, ExpBody<T, kVectors>{s, shift, l});
    if (h.dropout) DropTile<T, kVectors>(h, q0, j0, nk, s);
    // Pass 3: the weighted values. A masked value is left out, not multiplied by 0: it may be NaN.
    const T* values = h.v + j0 * h.v_row;
    const bool selected = masked && HasNonFinite<T>(values, h.v_row, nk, h.d_v);
    KeySum<T, kVectors>(h.d_v, {segments, values, 1, h.v_row, s, o, j0 == 0 ? nullptr : alpha, false, selected});
  }

  HWY_ALIGN T inverse[kWidth];
  HWY_ALIGN T top[kWidth];
  const auto one = hn::Set(d, T(1));
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    // The sum is 0 only when no key was allowed: the largest score alone contributes 1.
    const auto none = hn::Eq(l[v], hn::Zero(d));
    hn::Store(hn::IfThenZeroElse(none, one / l[v]), d, inverse + v * kLanes<T>);
    hn::Store(m[v], d, top + v * kLanes<T>);
  }
  if (key_end <= 0) {
    for (Index i = 0; i < count; ++i) {
      for (Index c = 0; c < h.d_v; ++c) out[i * out_row + c] = T(0);
    }
  } else {
    for (Index c = 0; c < h.d_v; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* at = o + c * kWidth + v * kLanes<T>;
        const auto factor = hn::Load(d, inverse + v * kLanes<T>);
        // 0 · inf of an overflowed, unattended lane must still be 0.
        hn::StoreU(hn::IfThenZeroElse(hn::Eq(factor, hn::Zero(d)), hn::LoadU(d, at) * factor), d, at);
      }
    }
    Transpose<T>(o, kWidth, h.d_v, count, out, out_row, T(1));
  }
  for (Index i = 0; i < count; ++i) {
    row_max[i] = top[i];
    row_inverse[i] = inverse[i];
  }
}

template <typename T, int kVectors>
HWY_NOINLINE void WeightsBlock(const AttentionHead<T>& h, Index q0, Index count, const T* row_max, const T* row_inverse,
                               T* weights, Index row, Index key_length, T* scratch) {
  constexpr Index kWidth = kVectors * kLanes<T>;
  T* queries = scratch;
  T* s = queries + h.d * kWidth;
  T* temp = s + kForwardKeys * kWidth;
  PackQueries<T>(h.q + q0 * h.q_row, h.q_row, count, h.d, queries, kWidth, h.scale * T(kLog2E));
  HWY_ALIGN T shift[kWidth];
  HWY_ALIGN T inverse[kWidth];
  RowStatistics<T>(count, kWidth, row_max, row_inverse, shift, inverse);
  const Index key_end = KeyEnd(h, q0, count);
  for (Index j0 = 0; j0 < key_end; j0 += kForwardKeys) {
    const Index nk = Min(kForwardKeys, key_end - j0);
    const auto segments = SegmentsOf<T, kVectors>(h, q0, j0, nk);
    ScoreTile<T, kVectors>(h, segments, queries, q0, count, j0, nk, s, temp);
    ForEachSegment<kVectors>(segments, WeightBody<T, kVectors>{shift, inverse, s});
    Transpose<T>(s, kWidth, nk, count, weights + j0, row, T(1));
  }
  for (Index i = 0; i < count; ++i) {
    for (Index j = key_end; j < key_length; ++j) weights[i * row + j] = T(0);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

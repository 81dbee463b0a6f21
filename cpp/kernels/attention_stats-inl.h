// Statistics of attention's weights for one block of queries, keys in blocks, in one pass over the scores
//
//   m' = max(m, max_j s_j)     l' = l f + Σ_j 2^(s_j - m'),  f = 2^(m - m')
//   t' = (t + l (m - m')) f + Σ_j 2^(s_j - m') (s_j - m')     entropy = log l - ln 2 · t / l, a sum of two that are not negative
//
// and of each query a heap of the largest scores, its smallest one the bar that a score must pass to enter.
#if defined(ATTENDO_KERNELS_ATTENTION_STATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_ATTENTION_STATS_INL_H_
#undef ATTENDO_KERNELS_ATTENTION_STATS_INL_H_
#else
#define ATTENDO_KERNELS_ATTENTION_STATS_INL_H_
#endif

#include "kernels/attention_stats.h"
#include "kernels/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr Index kStatsKeys = 128;

template <typename T>
Index StatsScratch(Index d) {
  return (d + 2 * kStatsKeys + 1) * kPanel<T>;
}

// ---- the largest scores of a query: a heap in its rows of top_weights and top_keys, the one to go first at the root --------

template <typename T>
struct Top {
  T* score;
  std::int64_t* key;
  Index size;

  // True when entry a has to go before entry b.
  HWY_INLINE bool Before(Index a, Index b) const {
    return score[a] < score[b] || (score[a] == score[b] && key[a] > key[b]);
  }
  HWY_INLINE void Swap(Index a, Index b) {
    const T s = score[a];
    const std::int64_t k = key[a];
    score[a] = score[b], key[a] = key[b];
    score[b] = s, key[b] = k;
  }
  HWY_INLINE void SiftDown(Index n) {
    for (Index i = 0;;) {
      Index child = 2 * i + 1;
      if (child >= n) return;
      if (child + 1 < n && Before(child + 1, child)) ++child;
      if (!Before(child, i)) return;
      Swap(i, child);
      i = child;
    }
  }
  // The bar from now on: a score must be above it.
  HWY_INLINE T Add(T s, std::int64_t k, Index most) {
    if (size < most) {
      score[size] = s, key[size] = k;
      for (Index i = size++; i > 0 && Before(i, (i - 1) / 2); i = (i - 1) / 2) Swap(i, (i - 1) / 2);
      return size < most ? MinusInfinity<T>() : score[0];
    }
    score[0] = s, key[0] = k;
    SiftDown(size);
    return score[0];
  }
  // Largest first.
  HWY_INLINE void Sort() {
    for (Index n = size - 1; n > 0; --n) {
      Swap(0, n);
      SiftDown(n);
    }
  }
};

template <typename T, int kVectors>
struct TopBody {
  const T* s;
  Index first_key, most;
  T* bar;  // of each lane; inf in the lanes without a query
  Index* size;
  T* scores;  // (lanes, most)
  std::int64_t* keys;

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    const Tag<T> d;
    for (Index j = begin; j < end; ++j) {
#pragma GCC unroll 4
      for (int v = kFirst; v < kVectors; ++v) {
        const T* at = s + (j * kVectors + v) * kLanes<T>;
        const auto above = hn::Gt(hn::LoadU(d, at), hn::LoadU(d, bar + v * kLanes<T>));
        if (HWY_UNLIKELY(!hn::AllFalse(d, above))) {
          HWY_ALIGN std::uint8_t bits[8] = {};
          hn::StoreMaskBits(d, above, bits);
          Insert(j, v * kLanes<T>, at, bits[0] | static_cast<unsigned>(bits[1]) << 8);
        }
      }
    }
  }

  // lanes: a bit for each one that passed.
  HWY_NOINLINE void Insert(Index j, Index first_lane, const T* at, unsigned lanes) const {
    for (; lanes != 0; lanes &= lanes - 1) {
      const Index lane = __builtin_ctz(lanes), i = first_lane + lane;
      Top<T> top{scores + i * most, keys + i * most, size[i]};
      bar[i] = top.Add(at[lane], first_key + j, most);
      size[i] = top.size;
    }
  }
};

// The largest score of each lane.
template <typename T, int kVectors>
struct StatsMaxBody {
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

template <typename T, int kVectors>
struct MomentBody {
  const T* s;
  const Vector<T>* shift;
  Vector<T>*sum, *moment;

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    const Tag<T> d;
    for (Index j = begin; j < end; ++j) {
#pragma GCC unroll 4
      for (int v = kFirst; v < kVectors; ++v) {
        const auto x = hn::LoadU(d, s + (j * kVectors + v) * kLanes<T>) - shift[v];
        const auto p = Exp2<T>(x);
        sum[v] = sum[v] + p;
        // 0 · -inf of a masked score is 0.
        moment[v] = moment[v] + hn::IfThenZeroElse(hn::Eq(p, hn::Zero(d)), p * x);
      }
    }
  }
};

template <typename T, int kVectors>
HWY_NOINLINE void StatsBlock(const AttentionHead<T>& h, Index q0, Index count, const AttentionRowStats<T>& rows,
                             T* scratch) {
  const Tag<T> d;
  constexpr Index kWidth = kVectors * kLanes<T>;
  T* queries = scratch;
  T* s = queries + h.d * kWidth;
  T* temp = s + kStatsKeys * kWidth;
  T* bar = temp + kStatsKeys * kWidth;
  Index size[kWidth];
  for (Index i = 0; i < kWidth; ++i) {
    size[i] = 0;
    bar[i] = i < count ? MinusInfinity<T>() : T(__builtin_inf());
  }
  PackQueries<T>(h.q + q0 * h.q_row, h.q_row, count, h.d, queries, kWidth, QueryScale(h));
  T* scores = rows.top_weights + q0 * rows.top;
  std::int64_t* keys = rows.top_keys + q0 * rows.top;

  const auto lowest = hn::Set(d, MinusInfinity<T>()), zero = hn::Zero(d);
  Vector<T> m[kVectors], l[kVectors], t[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) m[v] = lowest, l[v] = zero, t[v] = zero;

  const Index key_end = KeyEnd(h, q0, count);
  KeyTile tile;
  for (Index from = KeyBegin(h, q0); NextTile<T>(h, q0, count, from, key_end, kStatsKeys, tile);) {
    const Index j0 = tile.begin, nk = tile.count;
    const auto segments = SegmentsOf<T, kVectors>(h, q0, j0, nk);
    // Pass 1: scores, the maximum of each lane, the largest ones.
    ScoreTile<T, kVectors>(h, tile.tests, segments, queries, q0, count, j0, nk, s, temp);
    Vector<T> top[kVectors], shift[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) top[v] = m[v];
    ForEachSegment<kVectors>(segments, StatsMaxBody<T, kVectors>{s, top});
    if (rows.top > 0) {
      ForEachSegment<kVectors>(segments, TopBody<T, kVectors>{s, j0, rows.top, bar, size, scores, keys});
    }
    // Pass 2: what the sums are in terms of the new maximum, and this tile's part of them.
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      // A lane that has seen no key yet keeps -inf; 0 stands in for it, since -inf - (-inf) would be NaN.
      shift[v] = hn::IfThenElse(hn::Eq(top[v], lowest), zero, top[v]);
      const auto change = m[v] - shift[v];
      const auto factor = Exp2<T>(change);
      t[v] = hn::IfThenZeroElse(hn::Eq(m[v], lowest), hn::MulAdd(l[v], change, t[v]) * factor);
      l[v] = l[v] * factor;
      m[v] = top[v];
    }
    ForEachSegment<kVectors>(segments, MomentBody<T, kVectors>{s, shift, l, t});
  }

  HWY_ALIGN T max[kWidth];
  HWY_ALIGN T sum[kWidth];
  HWY_ALIGN T moment[kWidth];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    hn::Store(m[v], d, max + v * kLanes<T>);
    hn::Store(l[v], d, sum + v * kLanes<T>);
    hn::Store(t[v], d, moment + v * kLanes<T>);
  }
  for (Index i = 0; i < count; ++i) {
    rows.max[q0 + i] = max[i], rows.sum[q0 + i] = sum[i], rows.moment[q0 + i] = moment[i];
    if (rows.top == 0) continue;
    // Of a row with NaN among its scores no key is the largest, and every weight is NaN.
    const bool is_nan = !(sum[i] == sum[i]);
    Top<T> top{scores + i * rows.top, keys + i * rows.top, is_nan ? 0 : size[i]};
    top.Sort();
    for (Index c = 0; c < top.size; c += kLanes<T>) {
      const Index left = Min(kLanes<T>, top.size - c);
      const auto p = Exp2<T>(LoadTail<T>(top.score + c, left, T(0)) - hn::Set(d, max[i])) / hn::Set(d, sum[i]);
      StoreTail<T>(p, top.score + c, left);
    }
    for (Index c = top.size; c < rows.top; ++c) top.key[c] = -1, top.score[c] = is_nan ? sum[i] : T(0);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

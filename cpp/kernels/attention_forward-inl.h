// Attention forward for one block of queries, keys in blocks, softmax on line (Milakov and Gimelshein 2018):
//
//   m' = max(m, max_j s_j)   l' = l 2^(m - m') + Σ_j 2^(s_j - m')   o' = o 2^(m - m') + Σ_j 2^(s_j - m') v_j
//   out = o / l
//
// A sink is a key without a value: it is there from the start, m its score and l 1.
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

constexpr Index kForwardKeys = 128;

// weight_keys: the keys of a row of weights, 0 when they are not asked for.
template <typename T>
Index ForwardScratch(Index d, Index d_v, Index weight_keys) {
  return (d + d_v + 2 * kForwardKeys + 2 + (weight_keys + kForwardKeys - 1) / kForwardKeys) * kPanel<T>;
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

template <typename T>
HWY_INLINE void ZeroRows(T* x, Index x_row, Index rows, Index cols) {
  for (Index i = 0; i < rows; ++i, x += x_row) {
    for (Index j = 0; j < cols; ++j) x[j] = T(0);
  }
}

template <typename T, int kVectors>
HWY_NOINLINE void ForwardBlock(const AttentionHead<T>& h, Index q0, Index count, T* out, Index out_row, T* row_max,
                               T* row_inverse, T* weights, Index weights_row, T* scratch) {
  const Tag<T> d;
  constexpr Index kWidth = kVectors * kLanes<T>;
  T* queries = scratch;
  T* o = queries + h.d * kWidth;
  T* s = o + h.d_v * kWidth;
  T* temp = s + kForwardKeys * kWidth;
  T* alpha = temp + kForwardKeys * kWidth;
  T* most = alpha + kWidth;
  T* tile_max = most + kWidth;  // of each tile of weights: what its exponentials were taken from
  PackQueries<T>(h.q + q0 * h.q_row, h.q_row, count, h.d, queries, kWidth, QueryScale(h));

  const auto lowest = hn::Set(d, MinusInfinity<T>());
  Vector<T> m[kVectors], l[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) m[v] = lowest, l[v] = hn::Zero(d);
  if (HWY_UNLIKELY(h.sink != MinusInfinity<T>())) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) m[v] = hn::Set(d, h.sink * T(kLog2E)), l[v] = hn::Set(d, T(1));
  }

  const Index key_begin = KeyBegin(h, q0), key_end = KeyEnd(h, q0, count);
  bool begun = false;  // o holds a sum
  Index written = 0;   // columns of the weights
  KeyTile tile;
  for (Index from = key_begin; NextTile<T>(h, q0, count, from, key_end, kForwardKeys, tile);) {
    const Index j0 = tile.begin, nk = tile.count;
    const auto segments = SegmentsOf<T, kVectors>(h, q0, j0, nk);
    // Pass 1: scores, and the maximum of each lane.
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(m[v], d, most + v * kLanes<T>);
    const bool masked = ScoreTile<T, kVectors>(h, tile.tests, segments, queries, q0, count, j0, nk, s, temp, most);
    Vector<T> top[kVectors], shift[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) top[v] = masked ? m[v] : hn::LoadU(d, most + v * kLanes<T>);
    if (masked) ForEachSegment<kVectors>(segments, MaxBody<T, kVectors>{s, top});
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
    if (weights != nullptr) {
      ZeroRows<T>(weights + written, weights_row, count, j0 - written);
      Transpose<T>(s, kWidth, nk, count, weights + j0, weights_row, T(1));
      written = j0 + nk;
      T* at = tile_max + (j0 - key_begin) / kForwardKeys * kWidth;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) hn::StoreU(shift[v], d, at + v * kLanes<T>);
    }
    if (h.dropout) DropTile<T, kVectors>(h, q0, j0, nk, s);
    // Pass 3: the weighted values. A masked value is left out, not multiplied by 0: it may be NaN.
    const T* values = h.v + j0 * h.v_row;
    const bool selected = masked && HasNonFinite<T>(values, h.v_row, nk, h.d_v);
    KeySum<T, kVectors>(h.d_v, {segments, values, 1, h.v_row, s, o, begun ? alpha : nullptr, false, selected});
    begun = true;
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
  if (!begun) {
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
  if (weights == nullptr) return;
  // The exponentials of each tile, brought to the largest score of the whole row: 2^(s - max) / Σ.
  HWY_ALIGN T factor[kWidth];
  for (Index from = key_begin; NextTile<T>(h, q0, count, from, key_end, kForwardKeys, tile);) {
    const Index j0 = tile.begin, nk = tile.count;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto then = hn::LoadU(d, tile_max + (j0 - key_begin) / kForwardKeys * kWidth + v * kLanes<T>);
      // A row that saw no key by then: all its exponentials are 0.
      const auto to = hn::IfThenElse(hn::Eq(m[v], lowest), then, m[v]);
      // Not above 0, but where a tile without an allowed key had 0 in its place.
      const auto scale = Exp2<T>(hn::Min(then - to, hn::Zero(d)));
      hn::Store(scale * hn::Load(d, inverse + v * kLanes<T>), d, factor + v * kLanes<T>);
    }
    for (Index i = 0; i < count; ++i) {
      T* row = weights + i * weights_row + j0;
      const auto scale = hn::Set(d, factor[i]);
      Index j = 0;
      for (; j + kLanes<T> <= nk; j += kLanes<T>) hn::StoreU(hn::LoadU(d, row + j) * scale, d, row + j);
      for (; j < nk; ++j) row[j] *= factor[i];
    }
  }
  ZeroRows<T>(weights + written, weights_row, count, h.key_length - written);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

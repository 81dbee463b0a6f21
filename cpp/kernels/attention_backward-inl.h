// Attention backward for one head: keys outside, queries inside, the weights computed again.
//
//   P_ij = 2^(s_ij - max_i) / l_i     D_i = Σ_c dO_ic O_ic
//   dV_j = Σ_i P_ij dO_i              dP_ij = dO_i · V_j
//   dS_ij = P_ij (dP_ij - D_i)        dQ_i = scale Σ_j dS_ij K_j        dK_j = scale Σ_i dS_ij Q_i
//
// With a score program f, dQ and dK take dS_ij f'(s_ij) in place of dS_ij, and its tables get what falls to them of dS.
#if defined(ATTENDO_KERNELS_ATTENTION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_ATTENTION_BACKWARD_INL_H_
#undef ATTENDO_KERNELS_ATTENTION_BACKWARD_INL_H_
#else
#define ATTENDO_KERNELS_ATTENTION_BACKWARD_INL_H_
#endif

#include "kernels/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr Index kBackwardKeys = 96;

// n: a multiple of the lanes.
template <typename T>
HWY_INLINE void ZeroFill(T* x, Index n) {
  const Tag<T> d;
  for (Index i = 0; i < n; i += kLanes<T>) hn::StoreU(hn::Zero(d), d, x + i);
}

template <typename T>
HWY_NOINLINE void RowDots(const T* a, Index a_row, const T* b, Index b_row, Index rows, Index cols, T* delta) {
  const Tag<T> d;
  for (Index i = 0; i < rows; ++i, a += a_row, b += b_row) {
    auto even = hn::Zero(d), odd = hn::Zero(d);
    Index c = 0;
    for (; c + 2 * kLanes<T> <= cols; c += 2 * kLanes<T>) {
      even = hn::MulAdd(hn::LoadU(d, a + c), hn::LoadU(d, b + c), even);
      odd = hn::MulAdd(hn::LoadU(d, a + c + kLanes<T>), hn::LoadU(d, b + c + kLanes<T>), odd);
    }
    for (; c < cols; c += kLanes<T>) {
      const Index left = Min(kLanes<T>, cols - c);
      even = hn::MulAdd(LoadTail<T>(a + c, left, T(0)), LoadTail<T>(b + c, left, T(0)), even);
    }
    delta[i] = SumLanes<T>(even + odd);
  }
}

// Everything one task needs: the head's queries and output gradients, transposed block by block and as padded rows.
template <typename T>
struct BackwardPlan {
  Index blocks, d_pad, dv_pad;
  T *queries, *d_outs;               // (blocks, d or d_v, panel)
  const T *query_rows, *d_out_rows;  // (blocks · panel, d_pad or dv_pad): the arrays themselves where they lie well
  T *query_copy, *d_out_copy;
  bool queries_finite, d_outs_finite;
  T *s, *dp, *temp, *d_k, *d_v;

  // Lays the parts out from `base` on and returns their number of elements; with a null base it only counts.
  static Index Layout(BackwardPlan& p, Index query_length, Index d, Index d_v, T* base) {
    p.blocks = (query_length + kPanel<T> - 1) / kPanel<T>;
    p.d_pad = RoundUp(d, kLanes<T>);
    p.dv_pad = RoundUp(d_v, kLanes<T>);
    const Index padded = p.blocks * kPanel<T>;
    Index count = 0;
    Place(p.queries, base, count, padded * d);
    Place(p.d_outs, base, count, padded * d_v);
    Place(p.query_copy, base, count, padded * p.d_pad);
    Place(p.d_out_copy, base, count, padded * p.dv_pad);
    Place(p.s, base, count, kBackwardKeys * kPanel<T>);
    Place(p.dp, base, count, kBackwardKeys * kPanel<T>);
    Place(p.temp, base, count, kBackwardKeys * kPanel<T>);
    Place(p.d_k, base, count, kBackwardKeys * p.d_pad);
    Place(p.d_v, base, count, kBackwardKeys * p.dv_pad);
    return count;
  }

  static void Place(T*& part, T* base, Index& count, Index size) {
    part = base == nullptr ? nullptr : base + count;
    count += size;
  }
};

// c (rows, n) (+)= a (rows, k) · b (k, n) for any n that is a multiple of the lanes.
template <typename T>
HWY_INLINE void WideProduct(Index rows, Index n, Index k, const T* a, Index a_row, const T* b, Index b_row, T* c,
                            bool add, Index skip, bool selected) {
  for (Index j = 0; j < n; j += kPanel<T>) {
    const ProductBody<T> body{k, a, a_row, 1, b + j, b_row, c + j, n, add, skip, selected};
    switch (Min(kPanel<T>, n - j) / kLanes<T>) {
      case 1: Product<T, 1>(rows, body); break;
      case 2: Product<T, 2>(rows, body); break;
#if ATTENDO_WIDE_PANEL
      case 3: Product<T, 3>(rows, body); break;
      default: Product<T, 4>(rows, body); break;
#else
      default: break;
#endif
    }
  }
}

// dS = P (dP - D) over P; where P is 0 so is dS, whatever dP holds.
template <typename T, int kVectors>
struct ScoreGradientBody {
  T* s;
  const T *dp, *delta;

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    const Tag<T> d;
    for (Index j = begin; j < end; ++j) {
#pragma GCC unroll 4
      for (int v = kFirst; v < kVectors; ++v) {
        const Index x = (j * kVectors + v) * kLanes<T>;
        const auto weight = hn::LoadU(d, s + x);
        const auto ds = weight * (hn::LoadU(d, dp + x) - hn::Load(d, delta + v * kLanes<T>));
        hn::StoreU(hn::IfThenZeroElse(hn::Eq(weight, hn::Zero(d)), ds), d, s + x);
      }
    }
  }
};

// One block of queries against one tile of keys, whose gradients begin at `row` of p.d_k and p.d_v.
template <typename T, int kVectors>
HWY_NOINLINE void BackwardTile(const AttentionHead<T>& h, const AttentionGradient<T>& g, const BackwardPlan<T>& p,
                               Index block, Index count, const KeyTile& tile, Index row, bool add, bool keys_finite) {
  const Tag<T> d;
  constexpr Index kWidth = kVectors * kLanes<T>;
  const Index q0 = block * kPanel<T>, j0 = tile.begin, nk = tile.count;
  const T* queries = p.queries + q0 * h.d;
  const T* d_outs = p.d_outs + q0 * h.d_v;
  const T* query_rows = p.query_rows + q0 * p.d_pad;
  const T* d_out_rows = p.d_out_rows + q0 * p.dv_pad;

  HWY_ALIGN T shift[kWidth];
  HWY_ALIGN T inverse[kWidth];
  HWY_ALIGN T delta[kWidth];
  RowStatistics<T>(count, kWidth, g.row_max + q0, g.row_inverse + q0, shift, inverse);
  for (Index i = 0; i < kWidth; ++i) delta[i] = i < count ? g.delta[q0 + i] : T(0);

  const auto segments = SegmentsOf<T, kVectors>(h, q0, j0, nk);
  // Pass 1: P from the scores.
  bool masked;
  T *raw = nullptr, *slope = nullptr;
  if (HWY_UNLIKELY(h.program_slope != nullptr)) {
    const ScoreCode& code = *h.program_slope;
    raw = h.registers + ScoreScratch<T>(code.per_head, code.per_query, code.chunks);
    slope = h.program_sums == nullptr ? raw : raw + kBackwardKeys * kPanel<T>;  // the scores are wanted again or not
    masked = ModifiedScoreTile<T, kVectors>(h, code, tile.tests, segments, queries, q0, count, j0, nk, raw, p.s, slope,
                                            p.temp);
  } else {
    masked = ScoreTile<T, kVectors>(h, tile.tests, segments, queries, q0, count, j0, nk, p.s, p.temp);
  }
  ForEachSegment<kVectors>(segments, WeightBody<T, kVectors>{shift, inverse, p.s});
  // Pass 2: dP = V·dOᵀ.
  ForEachSegment<kVectors>(segments, ScoreBody<T, kVectors>{h.v + j0 * h.v_row, h.v_row, h.d_v, d_outs, p.dp});

  const bool rows_selected = masked && !(p.queries_finite && p.d_outs_finite);
  // Under a causal mask the first j - skip queries do not see key j.
  const Index skip = h.causal && !rows_selected ? q0 + h.offset - j0 : nk;
  // Pass 3: dV += Pᵀ·dO, with the weights that survived dropout.
  const T* kept = p.s;
  if (h.dropout) {
    for (Index x = 0; x < nk * kWidth; x += kLanes<T>) hn::StoreU(hn::LoadU(d, p.s + x), d, p.temp + x);
    DropTile<T, kVectors>(h, q0, j0, nk, p.temp);
    DropTile<T, kVectors>(h, q0, j0, nk, p.dp);
    kept = p.temp;
  }
  WideProduct<T>(nk, p.dv_pad, count, kept, kWidth, d_out_rows, p.dv_pad, p.d_v + row * p.dv_pad, add, skip,
                 rows_selected);
  if (g.d_weights != nullptr) {
    PackQueries<T>(g.d_weights + q0 * g.d_weights_row + j0, g.d_weights_row, count, nk, p.temp, kWidth, T(1));
    for (Index x = 0; x < nk * kWidth; x += kLanes<T>) {
      hn::StoreU(hn::LoadU(d, p.dp + x) + hn::LoadU(d, p.temp + x), d, p.dp + x);
    }
  }
  // Pass 4: dS = P (dP - D).
  ForEachSegment<kVectors>(segments, ScoreGradientBody<T, kVectors>{p.s, p.dp, delta});
  if (g.d_bias != nullptr) Transpose<T>(p.s, kWidth, nk, count, g.d_bias + q0 * g.d_bias_row + j0, g.d_bias_row, T(1));
  if (HWY_UNLIKELY(slope != nullptr)) {
    if (h.program_sums != nullptr) {
      ScoreRun<T> run{*h.program_sums, h, q0, count, j0, nk, kWidth, raw};
      run.d_score = p.s, run.d_tables = g.d_tables;
      RunScore<T>(run);
    }
    if (h.program_slope->has_slope) ApplySlope<T>(p.s, slope, nk * kWidth);
  }
  // Pass 5: dK += dSᵀ·Q and dQᵀ += Kᵀ·dSᵀ.
  WideProduct<T>(nk, p.d_pad, count, p.s, kWidth, query_rows, p.d_pad, p.d_k + row * p.d_pad, add, skip, rows_selected);
  KeySum<T, kVectors>(
      h.d, {segments, h.k + j0 * h.k_row, 1, h.k_row, p.s, g.d_q + q0 * h.d, nullptr, true, masked && !keys_finite});
}

template <typename T>
HWY_INLINE void StoreKeyGradient(const T* acc, Index acc_row, Index rows, Index cols, T factor, bool add, T* out,
                                 Index out_row) {
  const Tag<T> d;
  const auto scale = hn::Set(d, factor);
  for (Index j = 0; j < rows; ++j, acc += acc_row, out += out_row) {
    Index c = 0;
    for (; c + kLanes<T> <= cols; c += kLanes<T>) {
      auto value = hn::LoadU(d, acc + c) * scale;
      if (add) value = value + hn::LoadU(d, out + c);
      hn::StoreU(value, d, out + c);
    }
    for (; c < cols; ++c) out[c] = add ? out[c] + acc[c] * factor : acc[c] * factor;
  }
}

// Rows as B of a product: padded to whole vectors. Returns `x` itself where its rows lie side by side.
template <typename T>
HWY_INLINE const T* ProductRows(const T* x, Index x_row, Index rows, Index cols, Index padded, T* copy) {
  if (x_row == cols && cols == padded) return x;
  const Tag<T> d;
  for (Index i = 0; i < rows; ++i, x += x_row) {
    T* to = copy + i * padded;
    Index c = 0;
    for (; c + kLanes<T> <= cols; c += kLanes<T>) hn::StoreU(hn::LoadU(d, x + c), d, to + c);
    if (c < cols) hn::StoreU(LoadTail<T>(x + c, cols - c, T(0)), d, to + c);
  }
  return copy;
}

HWY_INLINE Index LaneVectors(Index count, Index lanes) { return (count + lanes - 1) / lanes; }

template <typename T>
HWY_NOINLINE void Backward(const AttentionHead<T>& h, const AttentionGradient<T>& g, Index key_begin, Index key_end,
                           T* scratch) {
  BackwardPlan<T> p;
  BackwardPlan<T>::Layout(p, h.query_length, h.d, h.d_v, scratch);
  const T q_scale = QueryScale(h);
  const Index n = h.query_length;
  p.query_rows = ProductRows<T>(h.q, h.q_row, n, h.d, p.d_pad, p.query_copy);
  p.d_out_rows = ProductRows<T>(g.d_out, g.d_out_row, n, h.d_v, p.dv_pad, p.d_out_copy);
  const bool may_mask =
      h.causal || h.windowed || h.rule.count > 0 || h.mask != nullptr || h.bias != nullptr || h.program != nullptr;
  p.queries_finite = !may_mask || !HasNonFinite<T>(p.query_rows, p.d_pad, n, h.d);
  p.d_outs_finite = !may_mask || !HasNonFinite<T>(p.d_out_rows, p.dv_pad, n, h.d_v);
  for (Index block = 0; block < p.blocks; ++block) {
    const Index q0 = block * kPanel<T>;
    const Index count = Min(kPanel<T>, h.query_length - q0);
    const Index width = LaneVectors(count, kLanes<T>) * kLanes<T>;
    const T* q = h.q + q0 * h.q_row;
    const T* d_out = g.d_out + q0 * g.d_out_row;
    PackQueries<T>(q, h.q_row, count, h.d, p.queries + q0 * h.d, width, q_scale);
    PackQueries<T>(d_out, g.d_out_row, count, h.d_v, p.d_outs + q0 * h.d_v, width, T(1));
    ZeroFill<T>(g.d_q + q0 * h.d, h.d * width);
  }
  for (Index j0 = key_begin; j0 < key_end; j0 += kBackwardKeys) {
    const Index nk = Min(kBackwardKeys, key_end - j0);
    const Index live = Max(0, Min(nk, h.keys - j0));  // keys that are not padding
    const bool keys_finite = live <= 0 || !may_mask || !HasNonFinite<T>(h.k + j0 * h.k_row, h.k_row, live, h.d);
    bool add = false;  // d_k and d_v hold a sum already
    for (Index block = 0; block < p.blocks && live > 0; ++block) {
      if (h.rule.count > 0) {
        block = next_rule_block(h.rule, block * kPanel<T>, n, kPanel<T>, j0, live) / kPanel<T>;
        if (block * kPanel<T> >= n) break;
      }
      const Index q0 = block * kPanel<T>;
      const Index count = Min(kPanel<T>, h.query_length - q0);
      if (KeyBegin(h, q0) >= j0 + live) break;
      if (KeyEnd(h, q0, count) <= j0) continue;
      KeyTile tile;
      // Whole rows of register tiles.
      Index from = j0 + Max(0, KeyBegin(h, q0) - j0) / kTileRows<kPanelVectors> * kTileRows<kPanelVectors>;
      if (!NextTile<T>(h, q0, count, from, j0 + Min(live, KeyEnd(h, q0, count) - j0), kBackwardKeys, tile)) continue;
      if (!add && tile.count < nk) {  // other queries see other keys than these
        ZeroFill<T>(p.d_k, nk * p.d_pad);
        ZeroFill<T>(p.d_v, nk * p.dv_pad);
        add = true;
      }
      switch (LaneVectors(count, kLanes<T>)) {
        case 1: BackwardTile<T, 1>(h, g, p, block, count, tile, tile.begin - j0, add, keys_finite); break;
        case 2: BackwardTile<T, 2>(h, g, p, block, count, tile, tile.begin - j0, add, keys_finite); break;
#if ATTENDO_WIDE_PANEL
        case 3: BackwardTile<T, 3>(h, g, p, block, count, tile, tile.begin - j0, add, keys_finite); break;
        default: BackwardTile<T, 4>(h, g, p, block, count, tile, tile.begin - j0, add, keys_finite); break;
#else
        default: break;
#endif
      }
      add = true;
    }
    if (!add) {
      ZeroFill<T>(p.d_k, nk * p.d_pad);
      ZeroFill<T>(p.d_v, nk * p.dv_pad);
    }
    StoreKeyGradient<T>(p.d_k, p.d_pad, nk, h.d, h.scale, g.add_kv, g.d_k + j0 * g.d_k_row, g.d_k_row);
    StoreKeyGradient<T>(p.d_v, p.dv_pad, nk, h.d_v, T(1), g.add_kv, g.d_v + j0 * g.d_v_row, g.d_v_row);
  }
}

template <typename T>
HWY_NOINLINE void FinishDQ(const AttentionHead<T>& h, const T* panels, T* d_q, Index d_q_row) {
  for (Index q0 = 0; q0 < h.query_length; q0 += kPanel<T>) {
    const Index count = Min(kPanel<T>, h.query_length - q0);
    const Index width = LaneVectors(count, kLanes<T>) * kLanes<T>;
    Transpose<T>(panels + q0 * h.d, width, h.d, count, d_q + q0 * d_q_row, d_q_row, h.scale);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

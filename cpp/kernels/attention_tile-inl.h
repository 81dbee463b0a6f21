// Score tiles, shared by attention's forward and backward.
//
// A tile holds keys in rows and queries in lanes: s[j, i] = log2(e) · (f(scale · q_i·k_j) + bias_ij), -inf where query i may
// not attend to key j. In these units exp(score) is one exp2. f is the score program; the product is in natural units where
// there is one.
#if defined(ATTENDO_KERNELS_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_ATTENTION_TILE_INL_H_
#undef ATTENDO_KERNELS_ATTENTION_TILE_INL_H_
#else
#define ATTENDO_KERNELS_ATTENTION_TILE_INL_H_
#endif

#include "kernels/attention.h"
#include "kernels/mask_rule.h"
#include "kernels/rows.h"
#include "kernels/score_program-inl.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr double kLog2E = 1.44269504088896340736;

template <typename T>
HWY_INLINE T MinusInfinity() {
  return T(-__builtin_inf());
}

HWY_INLINE Index RoundUp(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

// Of the rows of a tile, keys [end[g - 1], end[g]) concern the vectors g and up only: the queries in the lanes before them
// come too early for these keys. Without a causal mask all keys are in the first segment.
template <int kVectors>
struct Segments {
  Index end[kVectors];
};

template <typename T, int kVectors>
HWY_INLINE Segments<kVectors> SegmentsOf(const AttentionHead<T>& h, Index q0, Index j0, Index nk) {
  Segments<kVectors> s;
  Index end = 0;
  for (int g = 0; g < kVectors; ++g) {
    const Index last = h.causal ? q0 + h.offset - j0 + (g + 1) * kLanes<T> : nk;
    s.end[g] = end = Min(nk, Max(end, last));
  }
  s.end[kVectors - 1] = nk;
  return s;
}

// body.template Run<g>(begin, end) for each segment that has keys.
template <int kVectors, int kFirst = 0, class Body>
HWY_INLINE void ForEachSegment(const Segments<kVectors>& s, const Body& body, Index begin = 0) {
  if (begin < s.end[kFirst]) body.template Run<kFirst>(begin, s.end[kFirst]);
  if constexpr (kFirst + 1 < kVectors) ForEachSegment<kVectors, kFirst + 1>(s, body, s.end[kFirst]);
}

// C (+)= A·B: rows of A against one panel of B.
template <typename T>
struct ProductBody {
  Index k;
  const T* a;
  Index a_row, a_col;
  const T* b;
  Index b_row;
  T* c;
  Index c_row;
  bool add;
  Index skip = 0;         // row i of A begins with i - skip zeros
  bool selected = false;  // zeros of a tile mean "masked": see MultiplySelected
  T* top = nullptr;       // (lanes,) or null: raised to the largest entry of each column

  template <int kRows, int kVectors>
  HWY_INLINE void Run(Index i) const {
    const Tag<T> d;
    Tile<T, kRows, kVectors> tile;
    tile.Zero();
    const Index p = Max(0, Min(k, i - skip));
    if (HWY_UNLIKELY(selected)) {
      tile.MultiplySelected(k - p, a + i * a_row + p * a_col, a_row, a_col, b + p * b_row, b_row);
    } else {
      tile.Multiply(k - p, a + i * a_row + p * a_col, a_row, a_col, b + p * b_row, b_row);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* at = c + (i + r) * c_row + v * kLanes<T>;
        hn::StoreU(add ? tile.acc[r][v] + hn::LoadU(d, at) : tile.acc[r][v], d, at);
      }
    }
    if (top == nullptr) return;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      auto most = hn::LoadU(d, top + v * kLanes<T>);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) most = hn::Max(tile.acc[r][v], most);
      hn::StoreU(most, d, top + v * kLanes<T>);
    }
  }
};

// Not inlined: one copy of each width serves all products.
template <typename T, int kVectors>
HWY_NOINLINE void Product(Index rows, const ProductBody<T>& body) {
  ForEachRowTile<kVectors>(rows, body);
}

// C = C ∘ alpha + A·B, where the rows of B are the keys of a tile: a segment of them concerns some of the vectors only.
// A null alpha: C is written, or added to.
template <typename T, int kLaneVectors>
struct KeySumBody {
  Segments<kLaneVectors> segments;
  const T* a;
  Index a_row, a_col;
  const T* b;
  T* c;
  const T* alpha;
  bool add;
  bool selected;

  template <class AnyTile>
  struct Sum {
    AnyTile& tile;
    const T* a;
    Index a_row, a_col;
    const T* b;
    template <int kFirst>
    HWY_INLINE void Run(Index begin, Index end) const {
      constexpr Index kWidth = kLaneVectors * kLanes<T>;
      tile.template Multiply<kFirst>(end - begin, a + begin * a_col, a_row, a_col, b + begin * kWidth, kWidth);
    }
  };

  template <int kRows, int kVectors>
  HWY_INLINE void Run(Index i) const {
    const Tag<T> d;
    constexpr Index kWidth = kVectors * kLanes<T>;
    using RowTile = Tile<T, kRows, kVectors>;
    RowTile tile;
    tile.Zero();
    if (HWY_UNLIKELY(selected)) {
      tile.MultiplySelected(segments.end[kVectors - 1], a + i * a_row, a_row, a_col, b, kWidth);
    } else {
      ForEachSegment<kVectors>(segments, Sum<RowTile>{tile, a + i * a_row, a_row, a_col, b});
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* at = c + (i + r) * kWidth + v * kLanes<T>;
        auto y = tile.acc[r][v];
        if (alpha != nullptr) {
          y = hn::MulAdd(hn::LoadU(d, at), hn::LoadU(d, alpha + v * kLanes<T>), y);
        } else if (add) {
          y = y + hn::LoadU(d, at);
        }
        hn::StoreU(y, d, at);
      }
    }
  }
};

template <typename T, int kVectors>
HWY_NOINLINE void KeySum(Index rows, const KeySumBody<T, kVectors>& body) {
  ForEachRowTile<kVectors>(rows, body);
}

// True when a row range of x holds an inf or NaN (x·0 is then NaN).
template <typename T>
HWY_NOINLINE bool HasNonFinite(const T* x, Index row, Index rows, Index cols) {
  const Tag<T> d;
  const auto zero = hn::Zero(d);
  auto a = zero, b = zero, e = zero, f = zero;
  T tail = T(0);
  if (row == cols) cols *= rows, rows = 1;
  for (Index r = 0; r < rows; ++r, x += row) {
    Index c = 0;
    for (; c + 4 * kLanes<T> <= cols; c += 4 * kLanes<T>) {
      a = hn::MulAdd(hn::LoadU(d, x + c), zero, a);
      b = hn::MulAdd(hn::LoadU(d, x + c + kLanes<T>), zero, b);
      e = hn::MulAdd(hn::LoadU(d, x + c + 2 * kLanes<T>), zero, e);
      f = hn::MulAdd(hn::LoadU(d, x + c + 3 * kLanes<T>), zero, f);
    }
    for (; c + kLanes<T> <= cols; c += kLanes<T>) a = hn::MulAdd(hn::LoadU(d, x + c), zero, a);
    for (; c < cols; ++c) tail += x[c] * T(0);
  }
  return !(SumLanes<T>(a + b + e + f) + tail == T(0));
}

// The queries of a block, transposed: lanes beyond `count` are zeros.
template <typename T>
HWY_INLINE void PackQueries(const T* x, Index x_row, Index count, Index cols, T* packed, Index width, T scale) {
  Transpose<T>(x, x_row, count, cols, packed, width, scale);
  if (count < width) {
    for (Index c = 0; c < cols; ++c) {
      for (Index i = count; i < width; ++i) packed[c * width + i] = T(0);
    }
  }
}

// What the mask array says of a tile.
template <typename T>
HWY_NOINLINE TileMask MaskOf(const AttentionHead<T>& h, Index q0, Index count, Index j0, Index nk) {
  if (h.mask == nullptr) return TileMask::kAll;
  const Tag<std::uint64_t> d;
  const std::uint64_t* words = h.mask + q0 / kRuleQueries * h.mask_row + j0 * h.mask_col;
  const Index n = h.mask_col == 0 ? 1 : nk;
  auto any = hn::Zero(d), all = hn::Set(d, ~std::uint64_t{0});
  Index j = 0;
  for (; j + kLanes<std::uint64_t> <= n; j += kLanes<std::uint64_t>) {
    const auto x = hn::LoadU(d, words + j);
    any = hn::Or(any, x);
    all = hn::And(all, x);
  }
  HWY_ALIGN std::uint64_t lanes[2 * kLanes<std::uint64_t>];
  hn::Store(any, d, lanes);
  hn::Store(all, d, lanes + kLanes<std::uint64_t>);
  std::uint64_t some = 0, every = ~std::uint64_t{0};
  for (Index lane = 0; lane < kLanes<std::uint64_t>; ++lane) {
    some |= lanes[lane];
    every &= lanes[kLanes<std::uint64_t> + lane];
  }
  for (; j < n; ++j) some |= words[j], every &= words[j];
  const std::uint64_t queries = (~std::uint64_t{0} >> (kRuleQueries - count)) << q0 % kRuleQueries;
  return (every & queries) == queries ? TileMask::kAll : (some & queries) != 0 ? TileMask::kSome : TileMask::kNothing;
}

// Sets to -inf what the bits of a tile forbid: those of key j are words[j·stride], from `first` on.
template <typename T, int kVectors>
HWY_NOINLINE void ApplyBits(const std::uint64_t* words, Index stride, Index first, Index nk, T* s) {
  static_assert(kRuleQueries % kPanel<T> == 0);
  const Tag<T> d;
  const auto lowest = hn::Set(d, MinusInfinity<T>());
  for (Index j = 0; j < nk; ++j) {
    const std::uint64_t word = words[j * stride] >> first;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::uint64_t lanes = word >> (v * kLanes<T>);
      std::uint8_t bits[8];  // LoadMaskBits reads 8 bytes at most
      for (int byte = 0; byte < 8; ++byte) bits[byte] = static_cast<std::uint8_t>(lanes >> (8 * byte));
      T* at = s + (j * kVectors + v) * kLanes<T>;
      hn::StoreU(hn::IfThenElse(hn::LoadMaskBits(d, bits), hn::LoadU(d, at), lowest), d, at);
    }
  }
}

// What the mask array forbids.
template <typename T, int kVectors>
HWY_INLINE void ApplyMask(const AttentionHead<T>& h, Index q0, Index j0, Index nk, T* s) {
  const std::uint64_t* words = h.mask + q0 / kRuleQueries * h.mask_row + j0 * h.mask_col;
  ApplyBits<T, kVectors>(words, h.mask_col, q0 % kRuleQueries, nk, s);
}

// What the rule forbids.
template <typename T, int kVectors>
HWY_NOINLINE void ApplyRule(const AttentionHead<T>& h, Index q0, Index count, Index j0, Index nk, T* s) {
  std::uint64_t allowed[kRuleKeys];
  evaluate_rule(h.rule, q0, count, j0, nk, allowed);
  ApplyBits<T, kVectors>(allowed, 1, 0, nk, s);
}

// Which tests a tile needs.
struct TileTests {
  bool array = false, rule = false;
};

// Adds the bias to a tile and sets what is masked to -inf. True when some entry was masked.
template <typename T, int kVectors>
HWY_INLINE bool BiasAndMask(const AttentionHead<T>& h, TileTests tests, Index q0, Index count, Index j0, Index nk, T* s,
                            T* temp) {
  const Tag<T> d;
  constexpr Index kWidth = kVectors * kLanes<T>;
  bool masked = false;
  if (h.bias != nullptr) {
    const T* bias = h.bias + q0 * h.bias_row + j0 * h.bias_col;
    if (h.bias_col == 1 && h.bias_row != 0) {
      PackQueries<T>(bias, h.bias_row, count, nk, temp, kWidth, T(kLog2E));
    } else {
      for (Index j = 0; j < nk; ++j) {
        for (Index i = 0; i < kWidth; ++i) {
          temp[j * kWidth + i] = i < count ? bias[i * h.bias_row + j * h.bias_col] * T(kLog2E) : T(0);
        }
      }
    }
    for (Index x = 0; x < nk * kWidth; x += kLanes<T>)
      hn::StoreU(hn::LoadU(d, s + x) + hn::LoadU(d, temp + x), d, s + x);
    masked = true;  // a bias of -inf masks
  }
  if (tests.array) {
    masked = true;
    ApplyMask<T, kVectors>(h, q0, j0, nk, s);
  }
  if (tests.rule) {
    masked = true;
    ApplyRule<T, kVectors>(h, q0, count, j0, nk, s);
  }
  if (h.causal && j0 + nk - 1 > q0 + h.offset) {
    masked = true;
    const auto lowest = hn::Set(d, MinusInfinity<T>());
    for (Index j = Max(0, q0 + h.offset + 1 - j0); j < nk; ++j) {
      // Lane i may attend when i >= first. The vectors before that lane's are not computed at all.
      const Index first = Min(j0 + j - q0 - h.offset, kWidth - 1);
      const Index v = first / kLanes<T>;
      T* at = s + j * kWidth + v * kLanes<T>;
      const auto lane = hn::Iota(d, static_cast<T>(v * kLanes<T>));
      hn::StoreU(hn::IfThenElse(hn::Ge(lane, hn::Set(d, static_cast<T>(first))), hn::LoadU(d, at), lowest), d, at);
    }
  }
  if (h.windowed && j0 < q0 + count - 1 + h.begin) {
    masked = true;
    const auto lowest = hn::Set(d, MinusInfinity<T>());
    const Index end = Min(nk, q0 + count - 1 + h.begin - j0);
    for (Index j = 0; j < end; ++j) {
      // Lane i may attend when i <= last.
      const Index last = Max(-1, j0 + j - q0 - h.begin);
      for (Index v = (last + 1) / kLanes<T>; v < kVectors; ++v) {
        T* at = s + j * kWidth + v * kLanes<T>;
        const auto lane = hn::Iota(d, static_cast<T>(v * kLanes<T>));
        hn::StoreU(hn::IfThenElse(hn::Le(lane, hn::Set(d, static_cast<T>(last))), hn::LoadU(d, at), lowest), d, at);
      }
    }
  }
  return masked;
}

// The scores of `count` queries from q0 on against keys [j0, j0 + nk), where the segments ask for them. `top`:
// raised to the largest of each lane, before anything is masked. True when some entry was.
template <typename T, int kVectors>
struct ScoreBody {
  const T* left;  // keys, or values for dP
  Index left_row, k;
  const T* right;  // queries, or output gradients, transposed
  T* s;
  T* top = nullptr;  // the largest of each lane goes there

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    constexpr Index kWidth = kVectors * kLanes<T>;
    constexpr Index kSkip = kFirst * kLanes<T>;
    Product<T, kVectors - kFirst>(end - begin, ProductBody<T>{k, left + begin * left_row, left_row, 1, right + kSkip,
                                                              kWidth, s + begin * kWidth + kSkip, kWidth, false, end,
                                                              false, top == nullptr ? nullptr : top + kSkip});
  }
};

// What the queries are multiplied with before the product.
template <typename T>
HWY_INLINE T QueryScale(const AttentionHead<T>& h) {
  return h.program == nullptr ? h.scale * T(kLog2E) : h.scale;
}

// -inf in the lanes that a segment leaves out.
template <typename T, int kVectors>
struct LeaveOutBody {
  T* s;

  template <int kFirst>
  HWY_INLINE void Run(Index begin, Index end) const {
    const Tag<T> d;
    for (Index j = begin; j < end; ++j) {
      for (int v = 0; v < kFirst; ++v)
        hn::StoreU(hn::Set(d, MinusInfinity<T>()), d, s + (j * kVectors + v) * kLanes<T>);
    }
  }
};

// ScoreTile with a score program. `raw`: where the scores before it go; `slope`: where their slope goes, if the program
// has one; each of the others may be `raw`.
template <typename T, int kVectors>
HWY_NOINLINE bool ModifiedScoreTile(const AttentionHead<T>& h, const ScoreCode& code, TileTests tests,
                                    const Segments<kVectors>& segments, const T* queries, Index q0, Index count,
                                    Index j0, Index nk, T* raw, T* s, T* slope, T* temp) {
  constexpr Index kWidth = kVectors * kLanes<T>;
  ForEachSegment<kVectors>(segments, ScoreBody<T, kVectors>{h.k + j0 * h.k_row, h.k_row, h.d, queries, raw});
  ScoreRun<T> run{code, h, q0, count, j0, nk, kWidth, raw};
  bool strayed = false;
  run.result = s, run.slope = code.has_slope ? slope : nullptr, run.strayed = &strayed;
  RunScore<T>(run);
  BiasAndMask<T, kVectors>(h, tests, q0, count, j0, nk, s, temp);
  if (HWY_UNLIKELY(strayed && code.checked)) {  // what is masked may be out of bounds
    ForEachSegment<kVectors>(segments, LeaveOutBody<T, kVectors>{s});
    run.result = nullptr, run.slope = nullptr, run.masked = s;
    RunScore<T>(run);
  }
  return true;  // the program may give -inf
}

template <typename T, int kVectors>
HWY_INLINE bool ScoreTile(const AttentionHead<T>& h, TileTests tests, const Segments<kVectors>& segments,
                          const T* queries, Index q0, Index count, Index j0, Index nk, T* s, T* temp,
                          T* top = nullptr) {
  if (h.program != nullptr) {
    return ModifiedScoreTile<T, kVectors>(h, *h.program, tests, segments, queries, q0, count, j0, nk, s, s, nullptr,
                                          temp);
  }
  ForEachSegment<kVectors>(segments, ScoreBody<T, kVectors>{h.k + j0 * h.k_row, h.k_row, h.d, queries, s, top});
  return BiasAndMask<T, kVectors>(h, tests, q0, count, j0, nk, s, temp);
}

// Keys a block of queries [q0, q0 + count) can attend to: [KeyBegin, KeyEnd).
template <typename T>
HWY_INLINE Index KeyBegin(const AttentionHead<T>& h, Index q0) {
  return h.windowed ? Max(0, q0 + h.begin) : 0;
}
template <typename T>
HWY_INLINE Index KeyEnd(const AttentionHead<T>& h, Index q0, Index count) {
  return h.causal ? Max(0, Min(h.keys, q0 + count + h.offset)) : h.keys;
}

// Keys [begin, begin + count) hold something to attend to.
struct KeyTile {
  Index begin = 0, count = 0;
  TileTests tests;
};

// The first such tile of [from, end), at most `most` keys long; `from` becomes where to look for the next.
template <typename T>
HWY_INLINE bool NextTile(const AttentionHead<T>& h, Index q0, Index count, Index& from, Index end, Index most,
                         KeyTile& tile) {
  while (from < end) {
    tile = {from, Min(most, end - from), {}};
    if (h.rule.count > 0) {
      RuleTile found;
      if (!next_rule_tile(h.rule, q0, count, from, end, most, found)) return false;
      tile = {found.begin, found.keys, {false, found.some}};
      from = found.next;
    } else {
      from += tile.count;
    }
    const TileMask mask = MaskOf<T>(h, q0, count, tile.begin, tile.count);
    tile.tests.array = mask == TileMask::kSome;
    if (mask != TileMask::kNothing) return true;
  }
  return false;
}

// What forward left of `count` rows, for all lanes. An unattended row, or a lane beyond the last query: weights
// 2^(s - inf) · 0 = 0.
template <typename T>
HWY_INLINE void RowStatistics(Index count, Index width, const T* row_max, const T* row_inverse, T* shift, T* inverse) {
  for (Index i = 0; i < width; ++i) {
    const bool attended = i < count && row_max[i] != MinusInfinity<T>();
    shift[i] = attended ? row_max[i] : T(__builtin_inf());
    // NaN in a row that saw nothing but NaN must stay.
    inverse[i] = i < count ? row_inverse[i] : T(0);
  }
}

// 2^(s - max) · inverse in place: the weights of a tile, zeros where the segments leave lanes out.
template <typename T, int kVectors>
struct WeightBody {
  const T *shift, *inverse;
  T* s;

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
        const auto p = Exp2<T>(hn::LoadU(d, at) - hn::Load(d, shift + v * kLanes<T>));
        hn::StoreU(p * hn::Load(d, inverse + v * kLanes<T>), d, at);
      }
    }
  }
};

// tile[j, i] = kept ? tile[j, i] · keep_scale : 0
template <typename T, int kVectors>
HWY_INLINE void DropTile(const AttentionHead<T>& h, Index q0, Index j0, Index nk, T* tile) {
  const Tag<T> d;
  const auto scale = hn::Set(d, h.keep_scale);
  for (Index j = 0; j < nk; ++j) {
    const std::uint32_t key = row_key(h.stream, static_cast<std::uint64_t>(j0 + j));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      T* at = tile + (j * kVectors + v) * kLanes<T>;
      const auto first = static_cast<std::uint32_t>(q0 + v * kLanes<T>);
      hn::StoreU(Drop<T>(hn::LoadU(d, at), key, first, h.drop_below, scale), d, at);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

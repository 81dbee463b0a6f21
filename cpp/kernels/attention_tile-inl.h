// Score tiles, shared by attention's forward and backward.
//
// A tile holds keys in rows and queries in lanes: s[j, i] = log2(e) · (scale · q_i·k_j + bias_ij), -inf where query i may
// not attend to key j. In these units exp(score) is one exp2.
#if defined(ATTENDO_KERNELS_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_ATTENTION_TILE_INL_H_
#undef ATTENDO_KERNELS_ATTENTION_TILE_INL_H_
#else
#define ATTENDO_KERNELS_ATTENTION_TILE_INL_H_
#endif

#include "kernels/attention.h"
#include "kernels/rows.h"
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

// One operand of a product C (+)= A·B over tiles of rows, stored row-major with `c_row`.
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
  bool selected;  // zeros of a tile mean "masked": see MultiplySelected

  template <int kRows, int kVectors>
  HWY_INLINE void Run(Index i) const {
    const Tag<T> d;
    Tile<T, kRows, kVectors> tile;
    tile.Zero();
    if (HWY_UNLIKELY(selected)) {
      tile.MultiplySelected(k, a + i * a_row, a_row, a_col, b, b_row);
    } else {
      tile.Multiply(k, a + i * a_row, a_row, a_col, b, b_row);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* at = c + (i + r) * c_row + v * kLanes<T>;
        hn::StoreU(add ? tile.acc[r][v] + hn::LoadU(d, at) : tile.acc[r][v], d, at);
      }
    }
  }
};

// True when a row range of x holds an inf or NaN (x·0 is then NaN).
template <typename T>
HWY_NOINLINE bool HasNonFinite(const T* x, Index row, Index rows, Index cols) {
  const Tag<T> d;
  auto acc = hn::Zero(d);
  T tail = T(0);
  for (Index r = 0; r < rows; ++r, x += row) {
    Index c = 0;
    for (; c + kLanes<T> <= cols; c += kLanes<T>) acc = hn::MulAdd(hn::LoadU(d, x + c), hn::Zero(d), acc);
    for (; c < cols; ++c) tail += x[c] * T(0);
  }
  return !(SumLanes<T>(acc) + tail == T(0));
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

// Adds the bias to a tile and sets what is masked to -inf. True when some entry was masked.
template <typename T, int kVectors>
HWY_INLINE bool BiasAndMask(const AttentionHead<T>& h, Index q0, Index count, Index j0, Index nk, T* s, T* temp) {
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
  if (h.mask != nullptr) {
    const bool* mask = h.mask + q0 * h.mask_row + j0 * h.mask_col;
    for (Index j = 0; j < nk; ++j) {
      for (Index i = 0; i < count; ++i) {
        if (!mask[i * h.mask_row + j * h.mask_col]) {
          s[j * kWidth + i] = MinusInfinity<T>();
          masked = true;
        }
      }
    }
  }
  if (h.causal && j0 + nk - 1 > q0 + h.offset) {
    masked = true;
    const auto lowest = hn::Set(d, MinusInfinity<T>());
    for (Index j = 0; j < nk; ++j) {
      // Lane i may attend when i >= first.
      const Index first = j0 + j - q0 - h.offset;
      if (first <= 0) continue;
      const auto bound = hn::Set(d, static_cast<T>(Min(first, kWidth)));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* at = s + j * kWidth + v * kLanes<T>;
        const auto lane = hn::Iota(d, static_cast<T>(v * kLanes<T>));
        hn::StoreU(hn::IfThenElse(hn::Ge(lane, bound), hn::LoadU(d, at), lowest), d, at);
      }
    }
  }
  return masked;
}

// The scores of `count` queries from q0 on against keys [j0, j0 + nk).
template <typename T, int kVectors>
HWY_INLINE bool ScoreTile(const AttentionHead<T>& h, const T* queries, Index q0, Index count, Index j0, Index nk, T* s,
                          T* temp) {
  constexpr Index kWidth = kVectors * kLanes<T>;
  ForEachRowTile<kVectors>(
      nk, ProductBody<T>{h.d, h.k + j0 * h.k_row, h.k_row, 1, queries, kWidth, s, kWidth, false, false});
  return BiasAndMask<T, kVectors>(h, q0, count, j0, nk, s, temp);
}

// Keys a block of queries [q0, q0 + count) can attend to: [0, this).
template <typename T>
HWY_INLINE Index KeyEnd(const AttentionHead<T>& h, Index q0, Index count) {
  return h.causal ? Max(0, Min(h.keys, q0 + count + h.offset)) : h.keys;
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

// 2^(s - max) · inverse in place: the weights of a tile.
template <typename T, int kVectors>
HWY_INLINE void WeightTile(Index nk, const T* shift, const T* inverse, T* s) {
  const Tag<T> d;
  constexpr Index kWidth = kVectors * kLanes<T>;
  for (Index j = 0; j < nk; ++j) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      T* at = s + j * kWidth + v * kLanes<T>;
      const auto p = Exp2<T>(hn::LoadU(d, at) - hn::Load(d, shift + v * kLanes<T>));
      hn::StoreU(p * hn::Load(d, inverse + v * kLanes<T>), d, at);
    }
  }
}

// tile[j, i] = kept ? tile[j, i] · keep_scale : 0
template <typename T, int kVectors>
HWY_INLINE void DropTile(const AttentionHead<T>& h, Index q0, Index j0, Index nk, T* tile) {
  constexpr Index kWidth = kVectors * kLanes<T>;
  for (Index j = 0; j < nk; ++j) {
    const std::uint32_t key = row_key(h.stream, static_cast<std::uint64_t>(j0 + j));
    T* row = tile + j * kWidth;
    const std::uint32_t first = static_cast<std::uint32_t>(q0);
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(kWidth); ++i) {
      row[i] = random_bits(key, first + i) >= h.drop_below ? row[i] * h.keep_scale : T(0);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

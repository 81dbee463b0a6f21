// The micro-tile: a few rows of A times a panel of B, accumulated in registers.
#if defined(ATTENDO_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_TILE_INL_H_
#undef ATTENDO_KERNELS_TILE_INL_H_
#else
#define ATTENDO_KERNELS_TILE_INL_H_
#endif

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

#undef ATTENDO_WIDE_PANEL
// 32 vector registers hold 6 × 4 accumulators, 16 hold 6 × 2: with their operands nothing spills.
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
#define ATTENDO_WIDE_PANEL 1
constexpr int kPanelVectors = 4;
#else
#define ATTENDO_WIDE_PANEL 0
constexpr int kPanelVectors = 2;
#endif

template <typename T>
constexpr Index kPanel = kPanelVectors * kLanes<T>;

// Rows of the largest tile for a panel of so many vectors.
template <int kVectors>
constexpr int kTileRows = kPanelVectors == 4 ? (kVectors == 4 ? 6 : 8) : (kVectors == 2 ? 6 : 8);

template <typename T, int kRows, int kVectors>
struct Tile {
  Vector<T> acc[kRows][kVectors];

  HWY_INLINE void Zero() {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[i][v] = hn::Zero(Tag<T>());
    }
  }

  // acc[i, :] += Σ_p a[i, p] · b[p, :], of the vectors from kFirst on
  template <int kFirst = 0>
  HWY_INLINE void Multiply(Index k, const T* HWY_RESTRICT a, Index a_row, Index a_col, const T* HWY_RESTRICT b,
                           Index b_row) {
    const Tag<T> d;
    for (Index p = 0; p < k; ++p) {
      Vector<T> row[kVectors];
#pragma GCC unroll 4
      for (int v = kFirst; v < kVectors; ++v) row[v] = hn::LoadU(d, b + v * kLanes<T>);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const auto x = hn::Set(d, a[i * a_row]);
#pragma GCC unroll 4
        for (int v = kFirst; v < kVectors; ++v) acc[i][v] = hn::MulAdd(x, row[v], acc[i][v]);
      }
      a += a_col;
      b += b_row;
    }
  }

  // The same, but a factor of 0 gives 0 even against inf or NaN: for tiles whose zeros mean "masked".
  HWY_INLINE void MultiplySelected(Index k, const T* HWY_RESTRICT a, Index a_row, Index a_col, const T* HWY_RESTRICT b,
                                   Index b_row) {
    const Tag<T> d;
    const auto zero = hn::Zero(d);
    for (Index p = 0; p < k; ++p) {
      for (int i = 0; i < kRows; ++i) {
        const auto x = hn::Set(d, a[i * a_row]);
        for (int v = 0; v < kVectors; ++v) {
          const auto y = hn::LoadU(d, b + v * kLanes<T>);
          const auto skip = hn::Or(hn::Eq(x, zero), hn::Eq(y, zero));
          acc[i][v] = hn::IfThenElse(skip, acc[i][v], hn::MulAdd(x, y, acc[i][v]));
        }
      }
      a += a_col;
      b += b_row;
    }
  }
};

// Covers `rows` rows with tiles of kTileRows, 4, 2 and 1 rows: body.template Run<kRows, kVectors>(first_row).
template <int kVectors, class Body>
HWY_INLINE void ForEachRowTile(Index rows, const Body& body) {
  constexpr int kFull = kTileRows<kVectors>;
  Index i = 0;
  for (; i + kFull <= rows; i += kFull) body.template Run<kFull, kVectors>(i);
  if (rows - i >= 4) {
    body.template Run<4, kVectors>(i);
    i += 4;
  }
  if (rows - i >= 2) {
    body.template Run<2, kVectors>(i);
    i += 2;
  }
  if (rows - i >= 1) body.template Run<1, kVectors>(i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

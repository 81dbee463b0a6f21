#include "kernels/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// A panel of this many rows of B stays in the second-level cache beside the rows of A.
constexpr Index kDepth = 512;

template <typename T>
struct GemmBody {
  const GemmTask<T>& t;
  const T* a;  // at the first column of this depth block
  const T* b;  // at the first row of this depth block, in this panel
  Index b_row;
  Index k;
  Index j;        // first column of the panel
  Index columns;  // valid columns of the panel
  bool add;
  bool last;  // bias and activation come with the last depth block

  template <int kRows, int kVectors>
  HWY_INLINE void Run(Index i) const {
    const Tag<T> d;
    Tile<T, kRows, kVectors> tile;
    tile.Zero();
    tile.Multiply(k, a + i * t.a_row, t.a_row, t.a_col, b, b_row);
    T* c = t.c + i * t.c_row + j;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r, c += t.c_row) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Index first = v * kLanes<T>;
        const Index left = columns - first;
        auto y = tile.acc[r][v];
        if (HWY_LIKELY(left >= kLanes<T>)) {
          if (add) y = y + hn::LoadU(d, c + first);
          if (last && t.bias != nullptr) y = y + hn::LoadU(d, t.bias + j + first);
          if (last && t.relu) y = Relu<T>(y);
          hn::StoreU(y, d, c + first);
        } else {
          if (add) y = y + LoadTail<T>(c + first, left, T(0));
          if (last && t.bias != nullptr) y = y + LoadTail<T>(t.bias + j + first, left, T(0));
          if (last && t.relu) y = Relu<T>(y);
          StoreTail<T>(y, c + first, left);
        }
      }
    }
  }
};

template <typename T>
HWY_NOINLINE void Run(const GemmTask<T>& t) {
  for (Index j = 0; j < t.n; j += kPanel<T>) {
    const Index columns = Min(kPanel<T>, t.n - j);
    const Index vectors = (columns + kLanes<T> - 1) / kLanes<T>;
    const bool packed = t.b_row == 0;
    const T* panel = packed ? t.b + j * t.k : t.b + j;
    const Index b_row = packed ? vectors * kLanes<T> : t.b_row;
    Index p = 0;
    do {
      const Index depth = Min(kDepth, t.k - p);
      const GemmBody<T> body{t, t.a + p * t.a_col, panel + p * b_row, b_row,           depth,
                             j, columns,           t.add || p > 0,    p + depth == t.k};
      switch (vectors) {
        case 1: ForEachRowTile<1>(t.m, body); break;
        case 2: ForEachRowTile<2>(t.m, body); break;
#if ATTENDO_WIDE_PANEL
        case 3: ForEachRowTile<3>(t.m, body); break;
        default: ForEachRowTile<4>(t.m, body); break;
#else
        default: break;
#endif
      }
      p += depth;
    } while (p < t.k);
  }
}

template <typename T>
HWY_NOINLINE void PackB(T* packed, const T* b, Index b_row, Index b_col, Index k, Index n, Index p_begin, Index p_end) {
  const Tag<T> d;
  for (Index j = 0; j < n; j += kPanel<T>) {
    const Index columns = Min(kPanel<T>, n - j);
    const Index width = (columns + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    T* panel = packed + j * k;
    if (b_row == 1) {
      Transpose<T>(b + j * b_col + p_begin, b_col, columns, p_end - p_begin, panel + p_begin * width, width, T(1));
    } else {
      for (Index p = p_begin; p < p_end; ++p) {
        const T* src = b + p * b_row + j * b_col;
        T* dst = panel + p * width;
        Index c = 0;
        if (b_col == 1) {
          for (; c + kLanes<T> <= columns; c += kLanes<T>) hn::StoreU(hn::LoadU(d, src + c), d, dst + c);
        }
        for (; c < columns; ++c) dst[c] = src[c * b_col];
      }
    }
    if (width > columns) {
      for (Index p = p_begin; p < p_end; ++p) {
        for (Index c = columns; c < width; ++c) panel[p * width + c] = T(0);
      }
    }
  }
}

// Four rows of w at a time against one row of a: each element of a is loaded once for four products.
template <typename T>
HWY_NOINLINE void RunDot(const T* a, Index a_row, Index m, const T* w, Index w_row, Index n, Index k, T* y, Index y_row,
                         bool add, const T* bias, bool relu) {
  const Tag<T> d;
  const Index whole = k / kLanes<T> * kLanes<T>;
  for (Index j = 0; j < n; j += 4) {
    const Index count = Min(4, n - j);
    const T* w0 = w + j * w_row;
    const T* w1 = w + (j + Min(1, count - 1)) * w_row;
    const T* w2 = w + (j + Min(2, count - 1)) * w_row;
    const T* w3 = w + (j + Min(3, count - 1)) * w_row;
    for (Index i = 0; i < m; ++i) {
      const T* x = a + i * a_row;
      auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
      for (Index p = 0; p < whole; p += kLanes<T>) {
        const auto xp = hn::LoadU(d, x + p);
        s0 = hn::MulAdd(xp, hn::LoadU(d, w0 + p), s0);
        s1 = hn::MulAdd(xp, hn::LoadU(d, w1 + p), s1);
        s2 = hn::MulAdd(xp, hn::LoadU(d, w2 + p), s2);
        s3 = hn::MulAdd(xp, hn::LoadU(d, w3 + p), s3);
      }
      T sums[4] = {SumLanes<T>(s0), SumLanes<T>(s1), SumLanes<T>(s2), SumLanes<T>(s3)};
      for (Index p = whole; p < k; ++p) {
        sums[0] += x[p] * w0[p];
        sums[1] += x[p] * w1[p];
        sums[2] += x[p] * w2[p];
        sums[3] += x[p] * w3[p];
      }
      T* out = y + i * y_row + j;
      for (Index c = 0; c < count; ++c) {
        T value = sums[c];
        if (add) value += out[c];
        if (bias != nullptr) value += bias[j + c];
        // Written so that NaN stays NaN.
        if (relu && value < T(0)) value = T(0);
        out[c] = value;
      }
    }
  }
}

const GemmKernels<float>& TableFloat() {
  static constexpr GemmKernels<float> table{kLanes<float>, kPanel<float>, Run<float>, PackB<float>, RunDot<float>};
  return table;
}
const GemmKernels<double>& TableDouble() {
  static constexpr GemmKernels<double> table{kLanes<double>, kPanel<double>, Run<double>, PackB<double>,
                                             RunDot<double>};
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
const GemmKernels<float>& gemm_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const GemmKernels<double>& gemm_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

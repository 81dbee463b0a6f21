#include "kernels/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/activation-inl.h"
#include "kernels/rows.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
HWY_INLINE Vector<T> Activate(Activation f, Vector<T> z) {
  if (f == Activation::kRelu) return Relu<T>(z);
  if (f == Activation::kGelu) return Gelu<T>(z);
  if (f == Activation::kGeluTanh) return GeluTanh<T>(z);
  if (f == Activation::kSilu) return Silu<T>(z);
  return z;
}

// y f'(gate)
template <typename T>
HWY_INLINE Vector<T> TimesSlope(Activation f, Vector<T> y, Vector<T> gate) {
  if (f == Activation::kRelu) return hn::IfThenElseZero(hn::Gt(gate, hn::Zero(Tag<T>())), y);
  if (f == Activation::kGeluTanh) return y * GeluTanhSlope<T>(gate);
  if (f == Activation::kSilu) return y * SiluSlope<T>(gate);
  return y * GeluSlope<T>(gate);
}

// The epilogue of `count` finished elements of row i from column j on.
template <typename T>
HWY_INLINE Vector<T> FinishVector(const GemmTask<T>& t, Index i, Index j, Index count, Vector<T> z) {
  const Epilogue<T>& e = t.epilogue;
  const Tag<T> d;
  const Index at = (t.row + i) * t.columns + t.column + j;
  if (e.before != nullptr) StoreTail<T>(z, e.before + at, count);
  auto y = Activate<T>(e.activation, z);
  if (e.dropout) {
    const auto element = static_cast<std::uint64_t>(at);
    y = Drop<T>(y, row_key(e.stream, element / kRandomRow), static_cast<std::uint32_t>(element % kRandomRow),
                e.drop_below, hn::Set(d, e.keep_scale));
  } else if (e.keep_scale != T(1)) {
    y = y * hn::Set(d, e.keep_scale);
  }
  if (e.gate != nullptr) y = TimesSlope<T>(e.gate_activation, y, LoadTail<T>(e.gate + at, count, T(0)));
  return y;
}

// Rows [begin, end), columns [j, j + columns).
template <typename T>
HWY_NOINLINE void FinishRows(const GemmTask<T>& t, Index begin, Index end, Index j, Index columns) {
  const Tag<T> d;
  for (Index i = begin; i < end; ++i) {
    T* c = t.c + i * t.c_row + j;
    Index x = 0;
    for (; x + kLanes<T> <= columns; x += kLanes<T>) {
      hn::StoreU(FinishVector<T>(t, i, j + x, kLanes<T>, hn::LoadU(d, c + x)), d, c + x);
    }
    if (x < columns) {
      const Index left = columns - x;
      StoreTail<T>(FinishVector<T>(t, i, j + x, left, LoadTail<T>(c + x, left, T(0))), c + x, left);
    }
  }
}

template <typename T>
HWY_NOINLINE void Finish(const GemmTask<T>& t) {
  FinishRows<T>(t, 0, t.m, 0, t.n);
}

template <typename T>
struct GemmBody {
  const GemmTask<T>& t;
  const T* a;     // at the first column of this depth block
  Index a_block;  // of packed rows: where the next block of kGemmRowBlock begins; else 0
  Index a_row, a_col;
  const T* b;  // at the first row of this depth block, in this panel
  Index b_row;
  Index k;
  Index j;        // first column of the panel
  Index columns;  // valid columns of the panel
  bool add;
  bool last;    // bias and epilogue come with the last depth block
  bool relu;    // the epilogue is relu alone: done in registers
  bool finish;  // another epilogue

  template <int kRows, int kVectors>
  HWY_INLINE void Run(Index i) const {
    const Tag<T> d;
    Tile<T, kRows, kVectors> tile;
    tile.Zero();
    const Index block = i / kGemmRowBlock;
    const T* rows = a_block == 0 ? a + i * a_row : a + block * a_block + (i - block * kGemmRowBlock);
    tile.Multiply(k, rows, a_row, a_col, b, b_row);
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
          if (relu) y = Relu<T>(y);
          hn::StoreU(y, d, c + first);
        } else {
          if (add) y = y + LoadTail<T>(c + first, left, T(0));
          if (last && t.bias != nullptr) y = y + LoadTail<T>(t.bias + j + first, left, T(0));
          if (relu) y = Relu<T>(y);
          StoreTail<T>(y, c + first, left);
        }
      }
    }
    if (HWY_UNLIKELY(finish)) FinishRows<T>(t, i, i + kRows, j, columns);
  }
};

// a_scratch[block][p][row of the block] = a[row, first + p]; a's rows lie side by side.
template <typename T>
HWY_NOINLINE void PackRows(const GemmTask<T>& t, Index first, Index depth) {
  const hn::CappedTag<T, 8> d;
  constexpr Index kStep = kLanes<T> < 8 ? kLanes<T> : 8;
  for (Index p = 0; p < depth; ++p) {
    const T* from = t.a + (first + p) * t.a_col;
    Index i = 0;
    for (; i + kGemmRowBlock <= t.m; i += kGemmRowBlock) {
      T* to = t.a_scratch + i * depth + p * kGemmRowBlock;
      for (Index x = 0; x < kGemmRowBlock; x += kStep) hn::StoreU(hn::LoadU(d, from + i + x), d, to + x);
    }
    T* to = t.a_scratch + i * depth + p * kGemmRowBlock;
    for (Index x = 0; i + x < t.m; ++x) to[x] = from[i + x];
  }
}

// Columns [j, j + panel) with rows [p, p + depth) of b.
template <typename T>
HWY_INLINE void RunPanel(const GemmTask<T>& t, Index j, Index p, Index depth) {
  const Index columns = Min(kPanel<T>, t.n - j);
  const Index vectors = (columns + kLanes<T> - 1) / kLanes<T>;
  const bool packed = t.b_row == 0;
  const Index b_row = packed ? vectors * kLanes<T> : t.b_row;
  const bool copied = t.a_scratch != nullptr;
  const bool last = p + depth == t.k, active = t.epilogue.active();
  const GemmBody<T> body{t,
                         copied ? t.a_scratch : t.a + p * t.a_col,
                         copied ? depth * kGemmRowBlock : 0,
                         t.a_row,
                         copied ? kGemmRowBlock : t.a_col,
                         (packed ? t.b + j * t.k : t.b + j) + p * b_row,
                         b_row,
                         depth,
                         j,
                         columns,
                         t.add || p > 0,
                         last,
                         last && !active && t.epilogue.activation == Activation::kRelu,
                         last && active};
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
}

template <typename T>
HWY_NOINLINE void Run(const GemmTask<T>& t) {
  if (t.a_scratch != nullptr) {
    Index p = 0;
    do {
      const Index depth = Min(kGemmDepth, t.k - p);
      PackRows<T>(t, p, depth);
      for (Index j = 0; j < t.n; j += kPanel<T>) RunPanel<T>(t, j, p, depth);
      p += depth;
    } while (p < t.k);
    return;
  }
  for (Index j = 0; j < t.n; j += kPanel<T>) {
    Index p = 0;
    do {
      const Index depth = Min(kGemmDepth, t.k - p);
      RunPanel<T>(t, j, p, depth);
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

template <typename T>
HWY_NOINLINE void AddInto(T* out, const T* x, Index n) {
  const Tag<T> d;
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) hn::StoreU(hn::LoadU(d, out + i) + hn::LoadU(d, x + i), d, out + i);
  for (; i < n; ++i) out[i] += x[i];
}

template <typename T>
HWY_NOINLINE void ColumnSum(T* sum, T* block, const T* x, Index rows, Index n) {
  constexpr Index kBlock = 256;
  const Tag<T> d;
  for (Index first = 0; first < rows; first += kBlock) {
    const Index end = Min(rows, first + kBlock);
    Index i = first;
    bool begun = false;
    // Four rows at a time: the sums so far are loaded and stored a quarter as often.
    for (; i + 4 <= end; i += 4, begun = true) {
      const T *r0 = x + i * n, *r1 = r0 + n, *r2 = r1 + n, *r3 = r2 + n;
      Index j = 0;
      for (; j + kLanes<T> <= n; j += kLanes<T>) {
        auto s = (hn::LoadU(d, r0 + j) + hn::LoadU(d, r1 + j)) + (hn::LoadU(d, r2 + j) + hn::LoadU(d, r3 + j));
        if (begun) s = s + hn::LoadU(d, block + j);
        hn::StoreU(s, d, block + j);
      }
      for (; j < n; ++j) {
        const T s = (r0[j] + r1[j]) + (r2[j] + r3[j]);
        block[j] = begun ? s + block[j] : s;
      }
    }
    for (; i < end; ++i, begun = true) {
      if (begun) {
        AddInto<T>(block, x + i * n, n);
      } else {
        for (Index j = 0; j < n; ++j) block[j] = x[i * n + j];
      }
    }
    AddInto<T>(sum, block, n);
  }
}

const GemmKernels<float>& TableFloat() {
  static constexpr GemmKernels<float> table{kLanes<float>, kPanel<float>,    Run<float>,    PackB<float>,
                                            Finish<float>, ColumnSum<float>, AddInto<float>};
  return table;
}
const GemmKernels<double>& TableDouble() {
  static constexpr GemmKernels<double> table{kLanes<double>, kPanel<double>,    Run<double>,    PackB<double>,
                                             Finish<double>, ColumnSum<double>, AddInto<double>};
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

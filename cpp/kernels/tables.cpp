#include "kernels/tables.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tables.cpp"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr Index kAhead = 8;  // rows

// Rows lie anywhere in the table: no hardware guesses the next.
template <typename T>
HWY_INLINE void Fetch(const T* row, Index d) {
  const char* first = reinterpret_cast<const char*>(row);
  const Index bytes = Min(d * static_cast<Index>(sizeof(T)), 1024);
  for (Index b = 0; b < bytes; b += 64) __builtin_prefetch(first + b);
}

template <typename T>
HWY_NOINLINE void GatherRows(T* y, const T* table, const Id* ids, Index n, Index d) {
  const Tag<T> tag;
  for (Index r = 0; r < Min(n, kAhead); ++r) Fetch(table + ids[r] * d, d);
  for (Index r = 0; r < n; ++r, y += d) {
    if (r + kAhead < n) Fetch(table + ids[r + kAhead] * d, d);
    const T* row = table + ids[r] * d;
    Index c = 0;
    for (; c + kLanes<T> <= d; c += kLanes<T>) hn::StoreU(hn::LoadU(tag, row + c), tag, y + c);
    if (c < d) StoreTail<T>(LoadTail<T>(row + c, d - c, T(0)), y + c, d - c);
  }
}

template <typename T>
HWY_INLINE Vector<T> Weigh(Vector<T> x, const T* weight, Index s, Vector<T> acc) {
  return weight == nullptr ? acc + x : hn::MulAdd(hn::Set(Tag<T>(), weight[s]), x, acc);
}

template <typename T, bool kStream>
HWY_INLINE void Put(Vector<T> v, T* y) {
  if (kStream) {
    hn::Stream(v, Tag<T>(), y);
  } else {
    hn::StoreU(v, Tag<T>(), y);
  }
}

// y = Σ_s weight[s] x[index[s]], on top of y where kAdd, past the cache where kStream (y at a whole vector).
template <typename T, bool kAdd, bool kStream = false>
HWY_INLINE void SumRow(T* y, const T* x, const Id* index, const T* weight, Index begin, Index end, Index d) {
  const Tag<T> tag;
  constexpr Index kOne = kLanes<T>, kStep = 4 * kOne;
  Index c = 0;
  for (; c + kStep <= d; c += kStep) {
    auto a0 = hn::Zero(tag), a1 = a0, a2 = a0, a3 = a0;
    if (kAdd) {
      a0 = hn::LoadU(tag, y + c), a1 = hn::LoadU(tag, y + c + kOne);
      a2 = hn::LoadU(tag, y + c + 2 * kOne), a3 = hn::LoadU(tag, y + c + 3 * kOne);
    }
    for (Index s = begin; s < end; ++s) {
      const T* row = x + index[s] * d + c;
      a0 = Weigh<T>(hn::LoadU(tag, row), weight, s, a0);
      a1 = Weigh<T>(hn::LoadU(tag, row + kOne), weight, s, a1);
      a2 = Weigh<T>(hn::LoadU(tag, row + 2 * kOne), weight, s, a2);
      a3 = Weigh<T>(hn::LoadU(tag, row + 3 * kOne), weight, s, a3);
    }
    Put<T, kStream>(a0, y + c), Put<T, kStream>(a1, y + c + kOne);
    Put<T, kStream>(a2, y + c + 2 * kOne), Put<T, kStream>(a3, y + c + 3 * kOne);
  }
  for (; c + kOne <= d; c += kOne) {
    auto a = kAdd ? hn::LoadU(tag, y + c) : hn::Zero(tag);
    for (Index s = begin; s < end; ++s) a = Weigh<T>(hn::LoadU(tag, x + index[s] * d + c), weight, s, a);
    Put<T, kStream>(a, y + c);
  }
  if (c < d) {
    auto a = kAdd ? LoadTail<T>(y + c, d - c, T(0)) : hn::Zero(tag);
    for (Index s = begin; s < end; ++s) a = Weigh<T>(LoadTail<T>(x + index[s] * d + c, d - c, T(0)), weight, s, a);
    StoreTail<T>(a, y + c, d - c);
  }
}

// Position s is worked on in a while.
template <typename T>
HWY_INLINE void FetchFor(const T* x, const Id* index, Index begin, Index end, Index last, Index d) {
  for (Index s = begin + kAhead; s < Min(last, end + kAhead); ++s) Fetch(x + index[s] * d, d);
}

template <typename T>
HWY_NOINLINE void SumRows(T* out, const Id* out_row, const T* x, const Id* index, const T* weight, const Index* start,
                          Index groups, Index d, bool add) {
  const Index last = start[groups];
  FetchFor(x, index, start[0] - kAhead, start[0], last, d);
  for (Index g = 0; g < groups; ++g) {
    FetchFor(x, index, start[g], start[g + 1], last, d);
    if (add && g + 4 < groups && out_row != nullptr) Fetch(out + out_row[g + 4] * d, d);
    T* y = out + (out_row == nullptr ? static_cast<Id>(g) : out_row[g]) * d;
    if (add) {
      SumRow<T, true>(y, x, index, weight, start[g], start[g + 1], d);
    } else {
      SumRow<T, false>(y, x, index, weight, start[g], start[g + 1], d);
    }
  }
}

template <typename T>
HWY_INLINE void Clear(T* out, Index n) {
  const Tag<T> d;
  Index i = 0;
  while (i < n && reinterpret_cast<std::uintptr_t>(out + i) % (sizeof(T) * kLanes<T>) != 0) out[i++] = T(0);
  for (; i + kLanes<T> <= n; i += kLanes<T>) hn::Stream(hn::Zero(d), d, out + i);
  for (; i < n; ++i) out[i] = T(0);
}

template <typename T>
HWY_NOINLINE void FillRows(T* out, Index first, Index last, const Id* out_row, const T* x, const Id* index,
                           const T* weight, const Index* start, Index groups, Index d) {
  const Index end = start[groups];
  constexpr std::uintptr_t kVector = sizeof(T) * kLanes<T>;
  const bool aligned = reinterpret_cast<std::uintptr_t>(out) % kVector == 0 && (d * sizeof(T)) % kVector == 0;
  FetchFor(x, index, start[0] - kAhead, start[0], end, d);
  for (Index g = 0; g < groups; ++g) {
    FetchFor(x, index, start[g], start[g + 1], end, d);
    const Index row = static_cast<Index>(out_row[g]);
    Clear(out + first * d, (row - first) * d);
    if (aligned) {
      SumRow<T, false, true>(out + row * d, x, index, weight, start[g], start[g + 1], d);
    } else {
      SumRow<T, false>(out + row * d, x, index, weight, start[g], start[g + 1], d);
    }
    first = row + 1;
  }
  Clear(out + first * d, (last - first) * d);
  hwy::FlushStream();
}

template <typename T>
HWY_INLINE T Dot(const T* a, const T* b, Index n) {
  const Tag<T> d;
  auto s0 = hn::Zero(d), s1 = s0;
  Index i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
    s1 = hn::MulAdd(hn::LoadU(d, a + i + kLanes<T>), hn::LoadU(d, b + i + kLanes<T>), s1);
  }
  for (; i + kLanes<T> <= n; i += kLanes<T>) s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
  if (i < n) s1 = hn::MulAdd(LoadTail<T>(a + i, n - i, T(0)), LoadTail<T>(b + i, n - i, T(0)), s1);
  return SumLanes<T>(s0 + s1);
}

template <typename T>
HWY_NOINLINE void DotRows(T* y, const T* h, const T* table, const Id* ids, Index n, Index k, Index d) {
  const Index last = n * k;
  for (Index s = 0; s < Min(last, kAhead); ++s) Fetch(table + ids[s] * d, d);
  for (Index i = 0, s = 0; i < n; ++i) {
    for (Index j = 0; j < k; ++j, ++s) {
      if (s + kAhead < last) Fetch(table + ids[s + kAhead] * d, d);
      y[s] = Dot<T>(h + i * d, table + ids[s] * d, d);
    }
  }
}

// log(1 + e) for 0 <= e <= 1: 2 artanh(t) = 2 (t + t³/3 + t⁵/5 + …) with t = e / (2 + e) <= 1/3. Exact to the last bits
// for small e as well, where log(1 + e) has rounded e away.
template <typename T>
HWY_INLINE Vector<T> Log1pUnit(Vector<T> e) {
  const Tag<T> d;
  const auto t = e / (e + hn::Set(d, T(2)));
  const auto t2 = t * t;
  constexpr int kTerms = sizeof(T) == 4 ? 8 : 17;
  auto p = hn::Set(d, T(1) / T(2 * kTerms - 1));
  for (int i = kTerms - 2; i >= 0; --i) p = hn::MulAdd(p, t2, hn::Set(d, T(1) / T(2 * i + 1)));
  return (t + t) * p;
}

template <typename T>
HWY_INLINE void SoftplusOf(Vector<T> z, Vector<T>& y, Vector<T>& slope) {
  const Tag<T> d;
  const auto one = hn::Set(d, T(1));
  const auto e = Exp<T>(hn::Neg(hn::Abs(z)));  // at most 1
  const auto r = one / (one + e);
  const auto positive = hn::Gt(z, hn::Zero(d));
  y = hn::IfThenElseZero(positive, z) + Log1pUnit<T>(e);
  slope = hn::IfThenElse(positive, r, e * r);
}

template <typename T>
HWY_NOINLINE void Softplus(T* y, T* slope, const T* z, Index n) {
  const Tag<T> d;
  Vector<T> a, b;
  Index i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    SoftplusOf<T>(hn::LoadU(d, z + i), a, b);
    hn::StoreU(a, d, y + i);
    hn::StoreU(b, d, slope + i);
  }
  if (i < n) {
    SoftplusOf<T>(LoadTail<T>(z + i, n - i, T(0)), a, b);
    StoreTail<T>(a, y + i, n - i);
    StoreTail<T>(b, slope + i, n - i);
  }
}

template <typename T>
constexpr TableKernels<T> MakeTable() {
  return {GatherRows<T>, SumRows<T>, FillRows<T>, DotRows<T>, Softplus<T>};
}
const TableKernels<float>& TableFloat() {
  static constexpr TableKernels<float> table = MakeTable<float>();
  return table;
}
const TableKernels<double>& TableDouble() {
  static constexpr TableKernels<double> table = MakeTable<double>();
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
const TableKernels<float>& table_kernels<float>() {
  ATTENDO_SELECT(TableFloat);
}
template <>
const TableKernels<double>& table_kernels<double>() {
  ATTENDO_SELECT(TableDouble);
}
}  // namespace attendo::kernels
#endif

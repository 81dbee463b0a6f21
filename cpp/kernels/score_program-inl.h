// Runs a score program (score_program.h) over a tile: keys in rows, queries in lanes, a few rows at a time, so that the
// choice of the operation is made once for many entries and the registers stay in the first cache.
#if defined(ATTENDO_KERNELS_SCORE_PROGRAM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTENDO_KERNELS_SCORE_PROGRAM_INL_H_
#undef ATTENDO_KERNELS_SCORE_PROGRAM_INL_H_
#else
#define ATTENDO_KERNELS_SCORE_PROGRAM_INL_H_
#endif

#include "kernels/attention.h"
#include "kernels/score_program.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attendo::kernels {
namespace HWY_NAMESPACE {
namespace {

// ---- functions ------------------------------------------------------------------------------------------------------

// x = 2^k m, 1/√2 <= m < √2, for a normal x > 0.
HWY_INLINE Vector<float> SplitPower(Vector<float> x, Vector<float>& k) {
  const Tag<float> d;
  const hn::RebindToSigned<Tag<float>> di;
  const auto bits = hn::BitCast(di, x);
  const auto shifted = bits - hn::Set(di, 0x3f3504f3);  // of √½
  k = hn::ConvertTo(d, hn::ShiftRight<23>(shifted));
  return hn::BitCast(d, bits - hn::And(shifted, hn::Set(di, static_cast<std::int32_t>(0xff800000u))));
}
HWY_INLINE Vector<double> SplitPower(Vector<double> x, Vector<double>& k) {
  const Tag<double> d;
  const hn::RebindToUnsigned<Tag<double>> du;
  const auto bits = hn::BitCast(du, x);
  // The exponent as the low bits of 2^52 + exponent: conversions of 64-bit integers are slow or missing on some sets.
  const auto raised = bits + hn::Set(du, 0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  const auto exponent = hn::ShiftRight<52>(raised);
  k = hn::BitCast(d, hn::Or(exponent, hn::Set(du, 0x4330000000000000ull))) - hn::Set(d, 4503599627370496.0 + 1023);
  return hn::BitCast(d, bits - hn::ShiftLeft<52>(exponent) + hn::Set(du, 0x3ff0000000000000ull));
}

// log x = k ln 2 + 2 artanh(u), u = (m - 1) / (m + 1), by the series of artanh.
template <typename T>
HWY_INLINE Vector<T> Log(Vector<T> x) {
  const Tag<T> d;
  constexpr bool kSingle = sizeof(T) == 4;
  const auto one = hn::Set(d, T(1));
  const auto small = hn::Lt(x, hn::Set(d, kSingle ? T(1.17549435e-38) : T(2.2250738585072014e-308)));
  const auto normal = hn::IfThenElse(small, x * hn::Set(d, kSingle ? T(16777216) : T(18014398509481984)), x);
  Vector<T> k;
  const auto m = SplitPower(normal, k);
  k = k - hn::IfThenElseZero(small, hn::Set(d, kSingle ? T(24) : T(54)));
  const auto f = m - one, u = f / (m + one), z = u * u;
  auto p = hn::Set(d, T(2.0 / 9));
  if constexpr (!kSingle) {
    p = hn::Set(d, 2.0 / 23);
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 21));
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 19));
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 17));
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 15));
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 13));
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 11));
    p = hn::MulAdd(p, z, hn::Set(d, 2.0 / 9));
  }
  p = hn::MulAdd(p, z, hn::Set(d, T(2.0 / 7)));
  p = hn::MulAdd(p, z, hn::Set(d, T(2.0 / 5)));
  p = hn::MulAdd(p, z, hn::Set(d, T(2.0 / 3)));
  // 2u = f - u f: the leading term without the rounding of u.
  const auto low =
      hn::MulAdd(k, hn::Set(d, kSingle ? T(-2.12194440e-4) : T(1.90821492927058770002e-10)), u * (p * z - f));
  auto y = hn::MulAdd(k, hn::Set(d, kSingle ? T(0.693359375) : T(0.693147180369123816490)), f + low);
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(hn::Inf(d)), y);
  y = hn::IfThenElse(hn::Eq(x, hn::Inf(d)), x, y);
  return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), y, hn::NaN(d));
}

// a^b as e^(b log |a|): a negative a wants a whole b.
template <typename T>
HWY_INLINE Vector<T> Power(Vector<T> a, Vector<T> b) {
  const Tag<T> d;
  const auto zero = hn::Zero(d), one = hn::Set(d, T(1)), half = hn::Set(d, T(0.5));
  auto y = Exp<T>(b * Log<T>(hn::Abs(a)));
  const auto odd = hn::Not(hn::Eq(hn::Floor(b * half), b * half));
  const auto whole = hn::Eq(hn::Floor(b), b);
  const auto below = hn::IfThenElse(whole, hn::IfThenElse(odd, hn::Neg(y), y), hn::NaN(d));
  y = hn::IfThenElse(hn::Lt(a, zero), below, y);
  return hn::IfThenElse(hn::Or(hn::Eq(b, zero), hn::Eq(a, one)), one, y);
}

// Rounded down, and the rest, which has the sign of b. Whole numbers over 0 give 0, as in NumPy.
template <typename T>
HWY_INLINE Vector<T> FloorDivide(Vector<T> a, Vector<T> b, bool whole, Vector<T>& rest) {
  const Tag<T> d;
  const auto zero = hn::Zero(d), one = hn::Set(d, T(1));
  auto q = hn::Floor(a / b);
  rest = hn::NegMulAdd(q, b, a);
  // The quotient was rounded: it may be one off.
  const auto over = hn::Lt(rest * b, zero);
  q = hn::IfThenElse(over, q - one, q);
  rest = hn::IfThenElse(over, rest + b, rest);
  const auto under = hn::Ge(hn::Abs(rest), hn::Abs(b));
  q = hn::IfThenElse(under, q + one, q);
  rest = hn::IfThenElse(under, rest - b, rest);
  const auto nothing = hn::Eq(b, zero);
  if (whole) {
    q = hn::IfThenZeroElse(nothing, q);
    rest = hn::IfThenZeroElse(nothing, rest);
  } else {
    q = hn::IfThenElse(nothing, a / b, q);
    rest = hn::IfThenElse(nothing, hn::NaN(d), rest);
    // x mod inf is x, or inf where the signs differ.
    const auto endless = hn::And(hn::Eq(hn::Abs(b), hn::Inf(d)), hn::Lt(hn::Abs(a), hn::Inf(d)));
    const auto across = hn::Lt(a * b, zero);
    q = hn::IfThenElse(endless, hn::IfThenElseZero(across, hn::Neg(one)), q);
    rest = hn::IfThenElse(endless, hn::IfThenElse(across, b, a), rest);
  }
  return q;
}

// ---- one run --------------------------------------------------------------------------------------------------------

template <typename T>
struct ScoreRun {
  const ScoreCode& code;
  const AttentionHead<T>& head;
  Index q0, count, j0, nk;
  Index width;                   // lanes of a row
  const T* raw;                  // (nk, width): the scores
  T* result = nullptr;           // log2(e) times what becomes of them, if wanted; may be `raw`
  T* slope = nullptr;            // d result / d score, if wanted; may be `raw`
  const T* d_score = nullptr;    // for kScatter
  T* const* d_tables = nullptr;  // for kScatter
  const T* masked = nullptr;     // if given, look-ups out of bounds are reported where this is not -inf
  bool* strayed = nullptr;       // set when a look-up is out of bounds anywhere
};

template <typename T>
struct ScoreOperand {
  T* at;
  Index row, vector;  // steps
};

template <typename T>
constexpr Index kScoreChunk = kScoreRows * kPanel<T>;  // entries of a register

// Elements of the registers of a program.
template <typename T>
Index ScoreScratch(Index per_head, Index per_query, Index chunks) {
  return per_head * kLanes<T> + per_query * kPanel<T> + chunks * (kScoreChunk<T> + 16);
}

template <typename T>
struct ScoreMachine {
  const ScoreRun<T>& run;
  Index rows_at_once;
  Index row = 0, rows = 0;  // of this chunk

  HWY_INLINE ScoreOperand<T> Operand(ScoreSlot s, Index first = 0) const {
    T* registers = run.head.registers;
    const Index width = run.width;
    if (s.slot < 0) return {const_cast<T*>(run.raw) + (row + first) * width, width, kLanes<T>};
    if (s.level == kPerHead) return {registers + s.slot * kLanes<T>, 0, 0};
    registers += run.code.per_head * kLanes<T>;
    if (s.level == kPerQuery) return {registers + s.slot * kPanel<T>, 0, kLanes<T>};
    registers += run.code.per_query * kPanel<T> + s.slot * (kScoreChunk<T> + 16);
    return {registers + first * width, width, s.level == kPerKey ? 0 : kLanes<T>};
  }

  // out = f(a, b, c) over what the level of the result asks for.
  template <class F>
  HWY_INLINE void Map(const ScoreStep& step, int inputs, const F& f) const {
    const Tag<T> d;
    const ScoreOperand<T> out = Operand(step.out), a = Operand(step.in[0]);
    const ScoreOperand<T> b = inputs > 1 ? Operand(step.in[1]) : a, c = inputs > 2 ? Operand(step.in[2]) : a;
    Index n = step.level >= kPerKey ? rows : 1, vectors = step.level % 2 == 1 ? run.width / kLanes<T> : 1;
    const auto flat = [vectors](const ScoreOperand<T>& x) { return x.row == x.vector * vectors; };
    if (flat(out) && flat(a) && flat(b) && flat(c)) vectors *= n, n = 1;
    for (Index r = 0; r < n; ++r) {
      T* y = out.at + r * out.row;
      const T *p = a.at + r * a.row, *q = b.at + r * b.row, *s = c.at + r * c.row;
      for (Index v = 0; v < vectors; ++v) {
        hn::StoreU(f(hn::LoadU(d, p), hn::LoadU(d, q), hn::LoadU(d, s)), d, y);
        y += kLanes<T>, p += a.vector, q += b.vector, s += c.vector;
      }
    }
  }

  HWY_INLINE void Splat(const ScoreStep& step, T value) const {
    hn::StoreU(hn::Set(Tag<T>(), value), Tag<T>(), Operand(step.out).at);
  }

  // An index of a look-up as it counts from 0; `good` loses the lanes where it is out of bounds, and 0 stands there.
  HWY_INLINE Vector<T> Position(const ScoreIndex& index, Vector<T> x, hn::Mask<Tag<T>>& good) const {
    const Tag<T> d;
    const auto zero = hn::Zero(d), size = hn::Set(d, static_cast<T>(index.size));
    if (index.wraps) x = x + hn::IfThenElseZero(hn::Lt(x, zero), size);
    if (index.checked) {
      const auto valid = hn::And(hn::Ge(x, zero), hn::Lt(x, size));
      good = hn::And(good, valid);
      x = hn::IfThenElseZero(valid, x);
    }
    return x;
  }

  using Offsets = hn::Vec<hn::RebindToSigned<Tag<T>>>;

  // The indices of a look-up: what is one for the head is added up beforehand.
  struct Indices {
    static constexpr int kMaxAxes = 8;
    ScoreOperand<T> at[kMaxAxes];
    const ScoreIndex* index[kMaxAxes];
    int count = 0;
    std::int32_t base_offset = 0;  // tables have fewer entries than an int32 holds
  };

  HWY_INLINE void Open(const ScoreLookup& lookup, Indices& x, hn::Mask<Tag<T>>& good) const {
    const Tag<T> d;
    Index offset = 0;
    for (int axis = 0; axis < lookup.rank; ++axis) {
      const ScoreIndex& index = lookup.indices[axis];
      const ScoreOperand<T> at = Operand(index.at);
      if (index.at.level == kPerHead) {
        offset += static_cast<Index>(hn::GetLane(Position(index, hn::LoadU(d, at.at), good))) * index.stride;
      } else {
        x.at[x.count] = at;
        x.index[x.count++] = &index;
      }
    }
    x.base_offset = static_cast<std::int32_t>(offset);
  }

  // Where the entries lie in the table.
  HWY_INLINE Offsets Place(const Indices& x, Index r, Index v, hn::Mask<Tag<T>>& good) const {
    const Tag<T> d;
    const hn::RebindToSigned<Tag<T>> di;
    if constexpr (sizeof(T) == 4) {
      auto offset = hn::Set(di, x.base_offset);
      for (int axis = 0; axis < x.count; ++axis) {
        const ScoreIndex& index = *x.index[axis];
        const auto at = Position(index, hn::LoadU(d, x.at[axis].at + r * x.at[axis].row + v * x.at[axis].vector), good);
        const auto whole = hn::ConvertTo(di, at);
        offset = offset + (index.stride == 1 ? whole : whole * hn::Set(di, static_cast<std::int32_t>(index.stride)));
      }
      return offset;
    } else {
      auto offset = hn::Set(d, static_cast<double>(x.base_offset));
      for (int axis = 0; axis < x.count; ++axis) {
        const ScoreIndex& index = *x.index[axis];
        const auto at = Position(index, hn::LoadU(d, x.at[axis].at + r * x.at[axis].row + v * x.at[axis].vector), good);
        offset = hn::MulAdd(at, hn::Set(d, static_cast<double>(index.stride)), offset);
      }
      return hn::ConvertTo(di, offset);
    }
  }

  // How the entries of neighbouring queries lie. By distance j - i they lie side by side.
  enum class Order { kApart, kRising, kFalling, kSame };

  HWY_INLINE Order OrderOf(Offsets offset) const {
    const hn::RebindToSigned<Tag<T>> di;
    const auto from_first = offset - hn::Set(di, hn::GetLane(offset));
    const auto iota = hn::Iota(di, 0);
    if (hn::AllTrue(di, hn::Eq(hn::Zero(di) - from_first, iota))) return kLanes<T> > 1 ? Order::kFalling : Order::kSame;
    if (hn::AllTrue(di, hn::Eq(from_first, iota))) return Order::kRising;
    return hn::AllTrue(di, hn::Eq(from_first, hn::Zero(di))) ? Order::kSame : Order::kApart;
  }

  HWY_NOINLINE void LookUp(const ScoreStep& step) const {
    const Tag<T> d;
    const ScoreLookup& lookup = run.code.lookups[step.lookup];
    const ScoreOperand<T> out = Operand(step.out);
    Indices at;
    const Index n = step.level >= kPerKey ? rows : 1, vectors = step.level % 2 == 1 ? run.width / kLanes<T> : 1;
    auto good = hn::FirstN(d, static_cast<size_t>(kLanes<T>));
    Open(lookup, at, good);
    for (Index r = 0; r < n; ++r) {
      for (Index v = 0; v < vectors; ++v) {
        const auto offset = Place(at, r, v, good);
        const auto* first = static_cast<const T*>(lookup.table) + hn::GetLane(offset);
        Vector<T> x;
        switch (OrderOf(offset)) {  // a gather takes as long as all the rest
          case Order::kRising: x = hn::LoadU(d, first); break;
          case Order::kFalling: x = hn::Reverse(d, hn::LoadU(d, first - kLanes<T> + 1)); break;
          case Order::kSame: x = hn::Set(d, *first); break;
          default: x = hn::GatherIndex(d, static_cast<const T*>(lookup.table), offset);
        }
        hn::StoreU(x, d, out.at + r * out.row + v * kLanes<T>);
      }
    }
    if (!lookup.checked || hn::AllTrue(d, good)) return;
    if (run.strayed != nullptr) *run.strayed = true;
    if (run.masked != nullptr) Report(step);
  }

  // (hn::Ne is false of NaN on some sets, so it is Not(Eq) throughout.)

  // Says so where an index is out of bounds and the query may attend to the key.
  HWY_NOINLINE void Report(const ScoreStep& step) const {
    const ScoreLookup& lookup = run.code.lookups[step.lookup];
    // What does not depend on the key is looked up before the first chunk, and concerns all keys.
    const Index first = step.level >= kPerKey ? row : 0, last = step.level >= kPerKey ? row + rows : run.nk;
    for (int axis = 0; axis < lookup.rank; ++axis) {
      const ScoreIndex& index = lookup.indices[axis];
      if (!index.checked) continue;
      const ScoreOperand<T> at = Operand(index.at);
      for (Index j = first; j < last; ++j) {
        for (Index i = 0; i < run.count; ++i) {
          const Index v = i / kLanes<T>, lane = i % kLanes<T>;
          T x = at.at[(at.row == 0 ? 0 : j - first) * at.row + v * at.vector + lane];
          if (x < T(0)) x += static_cast<T>(index.size);
          if (x >= T(0) && x < static_cast<T>(index.size)) continue;
          if (run.masked[j * run.width + i] == -static_cast<T>(__builtin_inf())) continue;
          __atomic_fetch_or(run.head.out_of_bounds, std::uint64_t{1} << step.lookup, __ATOMIC_RELAXED);
          return;
        }
      }
    }
  }

  // d_table[index] += dS · factor
  HWY_NOINLINE void Scatter(const ScoreStep& step) const {
    const Tag<T> d;
    const hn::RebindToSigned<Tag<T>> di;
    const ScoreLookup& lookup = run.code.lookups[step.lookup];
    T* table = run.d_tables[lookup.gradient];
    const ScoreOperand<T> factor = Operand(step.in[0]);
    Indices at;
    auto good = hn::FirstN(d, static_cast<size_t>(kLanes<T>));
    Open(lookup, at, good);
    using Signed = hwy::MakeSigned<T>;
    HWY_ALIGN T amounts[kLanes<T>];
    HWY_ALIGN Signed places[kLanes<T>];
    const Index vectors = (run.count + kLanes<T> - 1) / kLanes<T>;
    for (Index r = 0; r < rows; ++r) {
      for (Index v = 0; v < vectors; ++v) {
        const auto ds = hn::LoadU(d, run.d_score + (row + r) * run.width + v * kLanes<T>);
        const auto none = hn::Eq(ds, hn::Zero(d));
        if (hn::AllTrue(d, none)) continue;
        const auto amount = ds * hn::LoadU(d, factor.at + r * factor.row + v * factor.vector);
        const auto added = hn::IfThenZeroElse(none, amount);
        const auto offset = Place(at, r, v, good);
        const Index lanes = Min(kLanes<T>, run.count - v * kLanes<T>);
        const Order order = lanes == kLanes<T> ? OrderOf(offset) : Order::kApart;
        T* first = table + hn::GetLane(offset);
        if (order == Order::kRising) {
          hn::StoreU(hn::LoadU(d, first) + added, d, first);
          continue;
        }
        if (order == Order::kFalling) {
          first -= kLanes<T> - 1;
          hn::StoreU(hn::LoadU(d, first) + hn::Reverse(d, added), d, first);
          continue;
        }
        if (order == Order::kSame) {
          *first += SumLanes<T>(added);
          continue;
        }
        hn::Store(added, d, amounts);
        hn::Store(offset, di, places);
        for (Index lane = 0; lane < lanes; ++lane) table[places[lane]] += amounts[lane];
      }
    }
  }

  HWY_NOINLINE void Do(const ScoreStep& step) const {
    const Tag<T> d;
    using V = Vector<T>;
    const auto one = hn::Set(d, T(1)), zero = hn::Zero(d);
    const auto truth = [one](hn::Mask<Tag<T>> m) HWY_ATTR { return hn::IfThenElseZero(m, one); };
    const bool whole = step.value != 0;
    switch (step.op) {
      case ScoreOp::kScore: break;
      case ScoreOp::kBatch: Splat(step, static_cast<T>(run.head.batch)); break;
      case ScoreOp::kHead: Splat(step, static_cast<T>(run.head.head)); break;
      case ScoreOp::kConstant: Splat(step, static_cast<T>(step.value)); break;
      case ScoreOp::kQuery: {  // the lanes beyond the last query stand for it
        T* out = Operand(step.out).at;
        for (Index i = 0; i < run.width; ++i) {
          out[i] = static_cast<T>(run.q0 + Min(i, run.count - 1) + run.head.q_offset);
        }
        break;
      }
      case ScoreOp::kKey: {
        const ScoreOperand<T> out = Operand(step.out);
        for (Index r = 0; r < rows; ++r) {
          hn::StoreU(hn::Set(d, static_cast<T>(run.j0 + row + r)), d, out.at + r * out.row);
        }
        break;
      }
      case ScoreOp::kLookup: LookUp(step); break;
      case ScoreOp::kScatter: Scatter(step); break;
      case ScoreOp::kNegative: Map(step, 1, [](V a, V, V) HWY_ATTR { return hn::Neg(a); }); break;
      case ScoreOp::kAbsolute: Map(step, 1, [](V a, V, V) HWY_ATTR { return hn::Abs(a); }); break;
      case ScoreOp::kSign:
        Map(step, 1, [=](V a, V, V) HWY_ATTR {
          const auto y = hn::IfThenElse(hn::Gt(a, zero), one, hn::IfThenElseZero(hn::Lt(a, zero), hn::Neg(one)));
          return hn::IfThenElse(hn::Eq(a, a), y, a);
        });
        break;
      case ScoreOp::kExp: Map(step, 1, [](V a, V, V) HWY_ATTR { return Exp<T>(a); }); break;
      case ScoreOp::kLog: Map(step, 1, [](V a, V, V) HWY_ATTR { return Log<T>(a); }); break;
      case ScoreOp::kTanh: Map(step, 1, [](V a, V, V) HWY_ATTR { return Tanh<T>(a); }); break;
      case ScoreOp::kSqrt: Map(step, 1, [](V a, V, V) HWY_ATTR { return hn::Sqrt(a); }); break;
      case ScoreOp::kFloor: Map(step, 1, [](V a, V, V) HWY_ATTR { return hn::Floor(a); }); break;
      case ScoreOp::kTruncate: Map(step, 1, [](V a, V, V) HWY_ATTR { return hn::Trunc(a); }); break;
      case ScoreOp::kAdd: Map(step, 2, [](V a, V b, V) HWY_ATTR { return a + b; }); break;
      case ScoreOp::kSubtract: Map(step, 2, [](V a, V b, V) HWY_ATTR { return a - b; }); break;
      case ScoreOp::kMultiply: Map(step, 2, [](V a, V b, V) HWY_ATTR { return a * b; }); break;
      case ScoreOp::kDivide: Map(step, 2, [](V a, V b, V) HWY_ATTR { return a / b; }); break;
      case ScoreOp::kFloorDivide:
        Map(step, 2, [whole](V a, V b, V) HWY_ATTR {
          V rest;
          return FloorDivide<T>(a, b, whole, rest);
        });
        break;
      case ScoreOp::kModulo:
        Map(step, 2, [whole](V a, V b, V) HWY_ATTR {
          V rest;
          FloorDivide<T>(a, b, whole, rest);
          return rest;
        });
        break;
      case ScoreOp::kPower: Map(step, 2, [](V a, V b, V) HWY_ATTR { return Power<T>(a, b); }); break;
      case ScoreOp::kMinimum:  // NaN where either is
        Map(step, 2, [](V a, V b, V) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Le(a, b), hn::IsNaN(a)), a, b); });
        break;
      case ScoreOp::kMaximum:
        Map(step, 2, [](V a, V b, V) HWY_ATTR { return hn::IfThenElse(hn::Or(hn::Ge(a, b), hn::IsNaN(a)), a, b); });
        break;
      case ScoreOp::kLess: Map(step, 2, [=](V a, V b, V) HWY_ATTR { return truth(hn::Lt(a, b)); }); break;
      case ScoreOp::kLessEqual: Map(step, 2, [=](V a, V b, V) HWY_ATTR { return truth(hn::Le(a, b)); }); break;
      case ScoreOp::kEqual: Map(step, 2, [=](V a, V b, V) HWY_ATTR { return truth(hn::Eq(a, b)); }); break;
      case ScoreOp::kNotEqual: Map(step, 2, [=](V a, V b, V) HWY_ATTR { return truth(hn::Not(hn::Eq(a, b))); }); break;
      case ScoreOp::kChain:
        Map(step, 2, [=](V a, V b, V) HWY_ATTR { return hn::IfThenZeroElse(hn::Eq(a, zero), a * b); });
        break;
      case ScoreOp::kWhere:
        Map(step, 3, [=](V a, V b, V c) HWY_ATTR { return hn::IfThenElse(hn::Eq(a, zero), c, b); });
        break;
    }
  }

  // to = value · factor, for the rows of this chunk
  HWY_INLINE void Write(ScoreSlot value, T* to, T factor) const {
    const Tag<T> d;
    const ScoreOperand<T> x = Operand(value);
    const auto by = hn::Set(d, factor);
    to += row * run.width;
    for (Index r = 0; r < rows; ++r) {
      for (Index v = 0; v < run.width / kLanes<T>; ++v) {
        hn::StoreU(hn::LoadU(d, x.at + r * x.row + v * x.vector) * by, d, to + r * run.width + v * kLanes<T>);
      }
    }
  }

  HWY_INLINE void Run() {
    const ScoreCode& code = run.code;
    for (Index n = 0; n < code.prologue; ++n) Do(code.steps[n]);
    for (row = 0; row < run.nk; row += rows_at_once) {
      rows = Min(rows_at_once, run.nk - row);
      for (Index n = code.prologue; n < code.count; ++n) Do(code.steps[n]);
      if (run.result != nullptr) Write(code.result, run.result, T(1.44269504088896340736));
      if (run.slope != nullptr) Write(code.slope, run.slope, T(1));
    }
  }
};

template <typename T>
HWY_NOINLINE void RunScore(const ScoreRun<T>& run) {
  if (run.nk <= 0) return;
  ScoreMachine<T> machine{run, kScoreChunk<T> / run.width};
  machine.Run();
}

// dS · slope in place; where dS is 0, 0.
template <typename T>
HWY_NOINLINE void ApplySlope(T* d_score, const T* slope, Index n) {
  const Tag<T> d;
  for (Index x = 0; x < n; x += kLanes<T>) {
    const auto ds = hn::LoadU(d, d_score + x);
    hn::StoreU(hn::IfThenZeroElse(hn::Eq(ds, hn::Zero(d)), ds * hn::LoadU(d, slope + x)), d, d_score + x);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace attendo::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

// A score program made ready for one call: the tables in the dtype of the scores, whole numbers shown to be exact, indices
// shown to be within their tables where that can be shown, values in registers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/score_program.h"

namespace attendo {

// The sizes of a call.
struct ScoreExtent {
  Index batch = 1, heads = 1, length = 0, keys = 0, q_offset = 0;
};

class ScoreCodes {
 public:
  struct Code {
    std::vector<kernels::ScoreStep> steps;
    std::vector<std::vector<kernels::ScoreIndex>> indices;
    std::vector<kernels::ScoreLookup> lookups;
    std::vector<int> nodes;  // of the look-ups
    kernels::ScoreCode code;
  };

  // Whose parts of a table's gradient a (batch entry, head) writes.
  enum class Owner { kNobody, kHead, kBatchAndHead };

  ScoreCodes(ScoreProgram program, DType dtype, const ScoreExtent& extent, bool backward)
      : program_(std::move(program)), dtype_(dtype), extent_(extent) {
    const int result = program_.result();
    convert_tables();
    std::vector<int> wanted;
    ScoreProgram::Derivatives derivatives;
    if (backward) {
      for (size_t n = 0; n <= static_cast<size_t>(result); ++n) {
        const auto& x = program_.nodes()[n];
        if (x.op == Op::kLookup && table(x).requires_grad()) wanted.push_back(static_cast<int>(n));
      }
      derivatives = program_.differentiate(wanted);
    }
    find_ranges();
    check_exact(result);
    lower(forward_, {result}, {});
    forward_.code.result = slot(result);
    forward_.code.checked =
        std::any_of(forward_.lookups.begin(), forward_.lookups.end(), [](const auto& x) { return x.checked; });
    if (forward_.lookups.size() > 64) value_error("attention: score_mod has more than 64 look-ups");
    if (!backward) return;
    const auto& slope = program_.nodes()[static_cast<size_t>(derivatives.slope)];
    slope_.code.has_slope = !(slope.op == Op::kConstant && slope.value == 1);
    std::vector<int> roots{result};
    if (slope_.code.has_slope) roots.push_back(derivatives.slope);
    lower(slope_, roots, {});
    slope_.code.result = slot(result);
    if (slope_.code.has_slope) slope_.code.slope = slot(derivatives.slope);
    if (!wanted.empty()) lower_sums(wanted, derivatives.factors);
  }
  ScoreCodes(const ScoreCodes&) = delete;
  ScoreCodes& operator=(const ScoreCodes&) = delete;

  const kernels::ScoreCode& forward() const { return forward_.code; }
  const kernels::ScoreCode& slope() const { return slope_.code; }
  const kernels::ScoreCode* sums() const { return trained_.empty() ? nullptr : &sums_.code; }
  const Tensors& trained() const { return trained_; }  // tables that want a gradient, and get one
  Owner owner() const { return owner_; }

  // Registers enough for each of the three.
  template <typename Kernel>
  Index scratch(const Kernel& kernel, bool backward) const {
    Index n = 0;
    for (const Code* x : {&forward_, &slope_, &sums_}) {
      n = std::max<Index>(n, kernel.score_scratch(x->code.per_head, x->code.per_query, x->code.chunks, backward));
    }
    return n;
  }

  // `bits`: of the look-ups of the forward code.
  [[noreturn]] void out_of_bounds(std::uint64_t bits) const {
    size_t n = 0;
    while ((bits >> n & 1) == 0) ++n;
    const int node = forward_.nodes[n];
    const auto& x = program_.nodes()[static_cast<size_t>(node)];
    const auto& found = program_.tables()[static_cast<size_t>(x.table)];
    throw std::out_of_range(
        concat("attention: score_mod looks up ", program_.text(node), ", but ", found.name, " has shape ",
               found.values.shape(),
               " and the index leaves it for a query and a key it may attend to; keep it within with "
               "np.clip"));
  }

 private:
  using Op = ScoreProgram::Op;
  using Kind = ScoreProgram::Kind;
  using Node = ScoreProgram::Node;

  struct Range {
    double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
    bool nan = true;  // may be NaN
    bool finite() const { return std::isfinite(low) && std::isfinite(high); }
  };

  const Tensor& table(const Node& x) const { return program_.tables()[static_cast<size_t>(x.table)].values; }
  const Node& node(int n) const { return program_.nodes()[static_cast<size_t>(n)]; }
  double exact() const { return dtype_ == DType::kFloat32 ? 16777216.0 : 9007199254740992.0; }

  void convert_tables() {
    for (const auto& [values, name] : program_.tables()) {
      if (is_float(values.dtype()) && values.requires_grad() && values.dtype() != dtype_) {
        type_error("attention: score_mod looks up ", name, ", a ", dtype_name(values.dtype()),
                   " Tensor that requires a gradient, but q is ", dtype_name(dtype_));
      }
      Range range;
      if (values.dtype() == DType::kBool) range = {0, 1, false};
      if (values.dtype() == DType::kInt64) {
        const auto* x = values.data<std::int64_t>();
        const auto [low, high] = std::minmax_element(x, x + values.size());
        range = {0, 0, false};
        if (values.size() > 0) range = {static_cast<double>(*low), static_cast<double>(*high), false};
        if (std::max(-range.low, range.high) > exact()) {
          value_error("attention: score_mod looks up ", name, ", which holds ", -range.low > range.high ? *low : *high,
                      "; ", dtype_name(dtype_), " holds whole numbers to ", static_cast<Index>(exact()), " only");
        }
      }
      if (values.size() > std::numeric_limits<std::int32_t>::max()) {
        value_error("attention: score_mod looks up ", name, ", which has ", values.size(), " entries; use bias=");
      }
      table_ranges_.push_back(range);
      // One entry at least, for what looks beyond.
      tables_.push_back(values.size() == 0         ? Tensor::zeros({1}, dtype_)
                        : values.dtype() == dtype_ ? values.detach()
                                                   : values.to(dtype_));
    }
  }

  // ---- ranges ---------------------------------------------------------------------------------------------------------

  static Range of(std::initializer_list<double> values, bool nan) {
    Range out{std::min(values), std::max(values), nan};
    for (const double x : values) {
      if (x != x) return {};
    }
    return out;
  }

  Range range_of(const Node& x) const {
    const auto r = [&](int n) { return ranges_[static_cast<size_t>(n)]; };
    const Range a = x.a >= 0 ? r(x.a) : Range{}, b = x.b >= 0 ? r(x.b) : Range{};
    const bool nan = a.nan || (x.b >= 0 && b.nan), finite = a.finite() && (x.b < 0 || b.finite());
    const auto last = [](Index begin, Index n) { return static_cast<double>(begin + std::max<Index>(n, 1) - 1); };
    switch (x.op) {
      case Op::kBatch: return {0, last(0, extent_.batch), false};
      case Op::kHead: return {0, last(0, extent_.heads), false};
      case Op::kQuery: return {static_cast<double>(extent_.q_offset), last(extent_.q_offset, extent_.length), false};
      case Op::kKey: return {0, last(0, extent_.keys), false};
      case Op::kConstant: return {x.value, x.value, x.value != x.value};
      case Op::kLookup: return table_ranges_[static_cast<size_t>(x.table)];
      case Op::kNegative: return {-a.high, -a.low, a.nan};
      case Op::kAbsolute:
        if (a.low >= 0) return a;
        if (a.high <= 0) return {-a.high, -a.low, a.nan};
        return {0, std::max(-a.low, a.high), a.nan};
      case Op::kSign: return {-1, 1, a.nan};
      case Op::kTanh: return {-1, 1, a.nan};
      case Op::kExp: return {0, std::exp(a.high) * 1.001, a.nan};
      case Op::kLog:
        return {a.low >= 0 ? std::log(a.low) : -kInf, a.high >= 0 ? std::log(a.high) : kInf, a.nan || a.low < 0};
      case Op::kSqrt: return {0, a.high >= 0 ? std::sqrt(a.high) : kInf, a.nan || a.low < 0};
      // A rounding error may have carried a float past a whole number.
      case Op::kFloor:
      case Op::kTruncate: return {std::floor(a.low - 1), std::ceil(a.high + 1), a.nan};
      case Op::kAdd: return finite ? Range{a.low + b.low, a.high + b.high, nan} : opposite(a, b);
      case Op::kSubtract:
        return finite ? Range{a.low - b.high, a.high - b.low, nan} : opposite(a, {-b.high, -b.low, b.nan});
      case Op::kMultiply:
      case Op::kChain:
        if (!finite && (spans_zero(a) || spans_zero(b))) return {};
        return of({a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high}, nan);
      case Op::kDivide:
        if (!finite || spans_zero(b)) return {};
        return of({a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high}, nan);
      case Op::kFloorDivide: {
        if (!finite || spans_zero(b)) return {-kInf, kInf, nan || x.kind == Kind::kFloat};
        Range out = of({a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high}, nan);
        out.low = std::floor(out.low), out.high = std::floor(out.high);
        if (x.kind == Kind::kFloat) --out.low, ++out.high;
        return out;
      }
      case Op::kModulo:
        if (!finite || b.low <= 0) return {-kInf, kInf, nan || x.kind == Kind::kFloat};
        if (x.kind == Kind::kFloat) return {0, b.high, nan};
        if (a.low >= 0 && a.high < b.low) return a;
        return {0, b.high - 1, nan};
      case Op::kMinimum: return {std::min(a.low, b.low), std::min(a.high, b.high), nan};
      case Op::kMaximum: return {std::max(a.low, b.low), std::max(a.high, b.high), nan};
      case Op::kLess:
      case Op::kLessEqual:
      case Op::kEqual:
      case Op::kNotEqual: return {0, 1, false};
      case Op::kWhere: {
        const Range c = r(x.c);
        return {std::min(b.low, c.low), std::max(b.high, c.high), b.nan || c.nan};
      }
      default: return {};
    }
  }
  static constexpr double kInf = std::numeric_limits<double>::infinity();
  static bool spans_zero(const Range& x) { return x.low <= 0 && x.high >= 0; }
  // a + b where one is unbounded: inf - inf is NaN.
  static Range opposite(const Range& a, const Range& b) {
    const bool clash = (a.low == -kInf && b.high == kInf) || (a.high == kInf && b.low == -kInf);
    return {a.low == -kInf || b.low == -kInf ? -kInf : a.low + b.low,
            a.high == kInf || b.high == kInf ? kInf : a.high + b.high, a.nan || b.nan || clash};
  }

  void find_ranges() {
    for (const Node& x : program_.nodes()) ranges_.push_back(range_of(x));
  }

  // Whole numbers are computed as floats: that must lose nothing.
  void check_exact(int result) const {
    std::vector<bool> live = reached({result});
    for (size_t n = 0; n < live.size(); ++n) {
      const Node& x = program_.nodes()[n];
      if (!live[n] || x.op == Op::kConstant) continue;
      const bool compares = x.op >= Op::kLess && x.op <= Op::kNotEqual;
      std::vector<int> whole;
      if (x.kind == Kind::kInt) whole.push_back(static_cast<int>(n));
      if (x.kind == Kind::kInt || compares) {
        for (const int y : {x.a, x.b, x.c}) {
          if (y >= 0 && node(y).kind == Kind::kInt && !(x.op == Op::kWhere && y == x.a)) whole.push_back(y);
        }
        if (compares && (node(x.a).kind == Kind::kFloat || node(x.b).kind == Kind::kFloat)) whole.clear();
      }
      for (const int y : whole) {
        const Range& range = ranges_[static_cast<size_t>(y)];
        if (!range.finite() || std::max(-range.low, range.high) <= exact()) continue;
        value_error("attention: score_mod computes ", program_.text(y), ", whole numbers up to ",
                    std::max(-range.low, range.high), ", but ", dtype_name(dtype_), " holds them to ",
                    static_cast<Index>(exact()), " only; begin with a float, as in 1.0 * i, or pass float64 arrays");
      }
    }
  }

  // ---- registers ------------------------------------------------------------------------------------------------------

  // x · 1, which made a float of a whole number, is x.
  int plain(int n) const {
    while (node(n).op == Op::kMultiply && node(node(n).b).op == Op::kConstant && node(node(n).b).value == 1)
      n = node(n).a;
    return n;
  }

  std::vector<bool> reached(const std::vector<int>& roots) const {
    std::vector<bool> live(program_.nodes().size(), false);
    for (const int root : roots) live[static_cast<size_t>(plain(root))] = true;
    for (size_t n = live.size(); n-- > 0;) {
      if (!live[n]) continue;
      for (const int y : inputs(static_cast<int>(n))) live[static_cast<size_t>(y)] = true;
    }
    return live;
  }

  std::vector<int> inputs(int n) const {
    std::vector<int> out;
    for (const int y : {node(n).a, node(n).b, node(n).c}) {
      if (y >= 0) out.push_back(plain(y));
    }
    for (const int y : node(n).indices) out.push_back(plain(y));
    return out;
  }

  void find_levels() {
    if (!levels_.empty()) return;
    for (size_t n = 0; n < program_.nodes().size(); ++n) {
      std::uint8_t level = kernels::kPerHead;
      switch (program_.nodes()[n].op) {
        case Op::kScore: level = kernels::kPerEntry; break;
        case Op::kQuery: level = kernels::kPerQuery; break;
        case Op::kKey: level = kernels::kPerKey; break;
        default:
          for (const int y : inputs(static_cast<int>(n))) level |= levels_[static_cast<size_t>(y)];
      }
      levels_.push_back(level);
    }
  }

  kernels::ScoreSlot slot(int n) const {
    n = plain(n);
    if (node(n).op == Op::kScore) return {};
    return {static_cast<std::int16_t>(slots_[static_cast<size_t>(n)]), levels_[static_cast<size_t>(n)]};
  }

  // roots are kept to the end of a chunk; so is `kept`.
  void lower(Code& code, const std::vector<int>& roots, const std::vector<int>& kept) {
    find_levels();
    std::vector<int> all = roots;
    all.insert(all.end(), kept.begin(), kept.end());
    const std::vector<bool> live = reached(all);
    std::vector<int> order;
    for (const bool body : {false, true}) {
      for (size_t n = 0; n < live.size(); ++n) {
        if (live[n] && program_.nodes()[n].op != Op::kScore && (levels_[n] >= kernels::kPerKey) == body) {
          order.push_back(static_cast<int>(n));
        }
      }
    }
    std::vector<size_t> last(live.size(), 0);
    for (size_t at = 0; at < order.size(); ++at) {
      for (const int y : inputs(order[at])) last[static_cast<size_t>(y)] = at;
    }
    for (const int n : all) last[static_cast<size_t>(plain(n))] = order.size();
    slots_.assign(live.size(), -1);
    std::vector<int> spare;
    kernels::ScoreCode& out = code.code;
    for (size_t at = 0; at < order.size(); ++at) {
      const int n = order[at];
      const auto level = levels_[static_cast<size_t>(n)];
      int& to = slots_[static_cast<size_t>(n)];
      if (level == kernels::kPerHead) {
        to = static_cast<int>(out.per_head++);
      } else if (level == kernels::kPerQuery) {
        to = static_cast<int>(out.per_query++);
      } else if (!spare.empty()) {
        to = spare.back(), spare.pop_back();
      } else {
        to = static_cast<int>(out.chunks++);
      }
      emit(code, n);
      if (level < kernels::kPerKey) {
        out.prologue = static_cast<Index>(code.steps.size());
        continue;
      }
      // Freed after the result has its place: values of unlike levels lie differently in a register.
      std::vector<int> used = inputs(n);
      std::sort(used.begin(), used.end());
      used.erase(std::unique(used.begin(), used.end()), used.end());
      for (const int y : used) {
        if (last[static_cast<size_t>(y)] == at && levels_[static_cast<size_t>(y)] >= kernels::kPerKey &&
            node(y).op != Op::kScore) {
          spare.push_back(slots_[static_cast<size_t>(y)]);
        }
      }
    }
    if (out.chunks > 128) value_error("attention: score_mod keeps more than 128 values at once; use bias=");
    if (out.per_head > 16384 || out.per_query > 2048) value_error("attention: score_mod is too long; use bias=");
    finish(code);
  }

  void finish(Code& code) const {
    code.code.steps = code.steps.data();
    code.code.count = static_cast<Index>(code.steps.size());
    for (size_t n = 0; n < code.lookups.size(); ++n) code.lookups[n].indices = code.indices[n].data();
    code.code.lookups = code.lookups.data();
  }

  void emit(Code& code, int n) const {
    const Node& x = node(n);
    kernels::ScoreStep step;
    step.op = x.op;
    step.level = levels_[static_cast<size_t>(n)];
    step.out = slot(n);
    const int from[] = {x.a, x.b, x.c};
    for (int k = 0; k < 3; ++k) {
      if (from[k] >= 0) step.in[k] = slot(from[k]);
    }
    step.value = x.op == Op::kConstant ? x.value : x.kind != Kind::kFloat;
    if (x.op == Op::kLookup) step.lookup = add_lookup(code, n);
    code.steps.push_back(step);
  }

  int add_lookup(Code& code, int n) const {
    const Node& x = node(n);
    const Shape& shape = table(x).shape();
    kernels::ScoreLookup lookup;
    lookup.table = tables_[static_cast<size_t>(x.table)].raw();
    lookup.rank = shape.rank();
    std::vector<kernels::ScoreIndex> indices;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const int at = x.indices[static_cast<size_t>(axis)];
      const Range& range = ranges_[static_cast<size_t>(at)];
      kernels::ScoreIndex index;
      index.at = slot(at);
      index.size = shape[axis];
      index.stride = shape.product(axis + 1, shape.rank());
      const auto size = static_cast<double>(shape[axis]);
      index.wraps = !(range.low >= 0);
      index.checked = range.nan || !(range.low >= -size && range.high < size);
      lookup.checked = lookup.checked || index.checked;
      indices.push_back(index);
    }
    code.indices.push_back(std::move(indices));
    code.lookups.push_back(lookup);
    code.nodes.push_back(n);
    return static_cast<int>(code.lookups.size()) - 1;
  }

  void lower_sums(const std::vector<int>& wanted, const std::vector<int>& factors) {
    std::vector<int> kept;
    owner_ = Owner::kBatchAndHead;
    for (size_t k = 0; k < wanted.size(); ++k) {
      kept.push_back(factors[k]);
      const Node& x = node(wanted[k]);
      kept.insert(kept.end(), x.indices.begin(), x.indices.end());
      const auto has = [&](Op op) {
        return std::any_of(x.indices.begin(), x.indices.end(), [&](int y) { return node(y).op == op; });
      };
      const bool batch = extent_.batch == 1 || has(Op::kBatch), head = extent_.heads == 1 || has(Op::kHead);
      owner_ = std::min(owner_, head && batch ? Owner::kBatchAndHead : head ? Owner::kHead : Owner::kNobody);
      if (std::none_of(trained_.begin(), trained_.end(), [&](const Tensor& y) { return y.same_as(table(x)); })) {
        trained_.push_back(table(x));
      }
    }
    lower(sums_, {}, kept);
    for (size_t k = 0; k < wanted.size(); ++k) {
      const Node& x = node(wanted[k]);
      const Node& factor = node(factors[k]);
      if (factor.op == Op::kConstant && factor.value == 0) continue;  // what it found was not used
      kernels::ScoreStep step;
      step.op = Op::kScatter;
      step.in[0] = slot(factors[k]);
      step.lookup = add_lookup(sums_, wanted[k]);
      for (size_t n = 0; n < trained_.size(); ++n) {
        if (trained_[n].same_as(table(x))) sums_.lookups.back().gradient = static_cast<int>(n);
      }
      sums_.steps.push_back(step);
    }
    finish(sums_);
  }

  ScoreProgram program_;
  DType dtype_;
  ScoreExtent extent_;
  Tensors tables_, trained_;
  std::vector<Range> table_ranges_, ranges_;
  std::vector<std::uint8_t> levels_;
  std::vector<int> slots_;
  Code forward_, slope_, sums_;
  Owner owner_ = Owner::kNobody;
};

}  // namespace attendo

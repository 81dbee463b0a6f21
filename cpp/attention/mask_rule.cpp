// Masks by rule: which key j query i, at position p = i + q_offset, may attend to
//
//   causal         j <= p                               window(l, r)   p - l <= j <= p + r
//   lengths        j < lengths_b                        prefix(n)      j < n_b
//   global_tokens  p or j is one of them                strided(s)     p - j is a multiple of s
//   blocks         layout_{p / size, j / size}          documents      ids_p = ids_j
//   dense          array_ij                             & | ~          both, either, the opposite
//
// They change which scores exist, and have no gradient of their own. A conjunction of causal, window, lengths and one array
// becomes options of attention, which cuts its loops by them; all else a rule that kernels/mask_rule asks of every tile.
// Memory: linear in L and S, but for arrays given.
// Beltagy et al. 2020, §3.1; Zaheer et al. 2020, §2; Child et al. 2019, §4.3; Raffel et al. 2020, §3.2.1 (prefix).
#include "attention/mask_rule.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/error.h"

namespace attendo {
namespace {

using kernels::MaskStep;
using Step = MaskStep::Kind;

constexpr Index kFar = Index{1} << 42;  // beyond every position
constexpr size_t kMostTerms = 255;

// Entry (row, column) of a table one larger: how many blocks above and left of it are allowed.
std::vector<std::int32_t> block_sums(const Tensor& layout) {
  const Index rows = layout.dim(-2), cols = layout.dim(-1), heads = layout.rank() == 3 ? layout.dim(0) : 1;
  const bool* block = layout.data<bool>();
  std::vector<std::int32_t> sums(static_cast<size_t>(heads * (rows + 1) * (cols + 1)), 0);
  for (Index h = 0; h < heads; ++h) {
    std::int32_t* above = sums.data() + h * (rows + 1) * (cols + 1);
    for (Index i = 0; i < rows; ++i, above += cols + 1) {
      std::int32_t row = 0;
      for (Index j = 0; j < cols; ++j) {
        row += *block++ ? 1 : 0;
        above[cols + 1 + j + 1] = above[j + 1] + row;
      }
    }
  }
  return sums;
}

// Entry n: how many of the sorted positions lie in [first, first + n).
std::shared_ptr<const std::vector<std::int32_t>> position_counts(const std::vector<std::int64_t>& positions,
                                                                 Index first, Index count) {
  std::vector<std::int32_t> counts(static_cast<size_t>(count) + 1, 0);
  auto at = std::lower_bound(positions.begin(), positions.end(), first);
  for (Index n = 0; n < count; ++n) {
    const bool here = at != positions.end() && *at == first + n;
    counts[static_cast<size_t>(n) + 1] = counts[static_cast<size_t>(n)] + (here ? 1 : 0);
    if (here) ++at;
  }
  return std::make_shared<const std::vector<std::int32_t>>(std::move(counts));
}

// Strides of an array broadcast to (batch, heads, L, S).
std::array<Index, 4> strides_of(const char* op, const Tensor& array, const MaskSizes& z) {
  const std::array<Index, 4> target{z.batch, z.heads, z.length, z.keys};
  std::array<Index, 4> strides{};
  bool fits = array.rank() <= 4;
  Index step = 1;
  for (int axis = 3, at = array.rank() - 1; fits && at >= 0; --axis, --at) {
    const Index dim = array.dim(at);
    fits = dim == 1 || dim == target[static_cast<size_t>(axis)];
    strides[static_cast<size_t>(axis)] = dim == 1 ? 0 : step;
    step *= dim;
  }
  if (!fits) {
    value_error(op, ": mask has shape ", array.shape(), ", which does not broadcast to (", z.batch, ", ", z.heads, ", ",
                z.length, ", ", z.keys, "), which is (batch, heads, L, S)");
  }
  return strides;
}

const std::int64_t* checked_lengths(const char* op, const char* name, const Tensor& x, bool one_for_all,
                                    const MaskSizes& z) {
  if (x.size() != z.batch && !(one_for_all && x.size() == 1))
    value_error(op, ": ", name, " has ", x.size(), " entries but the batch has ", z.batch);
  return x.data<std::int64_t>();
}

void check_lengths(const char* op, const Tensor& lengths, const MaskSizes& z) {
  const std::int64_t* n = checked_lengths(op, "lengths", lengths, false, z);
  for (Index b = 0; b < z.batch; ++b) {
    if (n[b] < 0 || n[b] > z.keys)
      value_error(op, ": lengths holds ", n[b], " but must hold 0 to ", z.keys, ", the number of keys");
  }
}

void check_covers(const char* op, const char* name, Index queries, Index keys, const MaskSizes& z) {
  if (z.q_offset < 0) value_error(op, ": q_offset is ", z.q_offset, " but must be 0 or more with a mask of ", name);
  if (z.q_offset + z.length > queries || z.keys > keys) {
    value_error(op, ": ", name, " covers ", queries, " query positions and ", keys,
                " keys but the call has positions up to ", z.q_offset + z.length, " and ", z.keys, " keys");
  }
}

}  // namespace

// ---- making and combining -------------------------------------------------------------------------------------------

MaskExpression MaskExpression::causal() { return MaskExpression(Term{Kind::kCausal}); }
MaskExpression MaskExpression::window(Index left, Index right) {
  return MaskExpression(Term{Kind::kWindow, std::clamp<Index>(left, 0, kFar), std::clamp<Index>(right, 0, kFar)});
}
MaskExpression MaskExpression::strided(Index stride) {
  return MaskExpression(Term{Kind::kStrided, std::clamp<Index>(stride, 1, kFar)});
}
MaskExpression MaskExpression::lengths(const Tensor& x) { return MaskExpression(Term{Kind::kLengths, 0, 0, x}); }
MaskExpression MaskExpression::prefix(const Tensor& x) { return MaskExpression(Term{Kind::kPrefix, 0, 0, x}); }
MaskExpression MaskExpression::global_tokens(const Tensor& x) {
  return MaskExpression(Term{Kind::kGlobalTokens, 0, 0, x});
}
MaskExpression MaskExpression::blocks(const Tensor& layout, Index size) {
  if (layout.rank() != 2 && layout.rank() != 3) {
    value_error("blocks: layout has shape ", layout.shape(),
                " but must have two axes, (query blocks, key blocks), or three, with the heads first");
  }
  if (size < 1 || size > kFar) value_error("blocks: block_size is ", size, " but must be 1 or more");
  if (layout.dim(-1) > 0 && layout.dim(-2) >= (Index{1} << 31) / layout.dim(-1))
    value_error("blocks: layout has shape ", layout.shape(), ", which is more than 2^31 blocks");
  return MaskExpression(
      Term{Kind::kBlocks, size, 0, layout, std::make_shared<const std::vector<std::int32_t>>(block_sums(layout))});
}
MaskExpression MaskExpression::documents(const Tensor& ids) {
  return MaskExpression(Term{Kind::kDocuments, 0, 0, ids});
}
MaskExpression MaskExpression::dense(const Tensor& array) { return MaskExpression(Term{Kind::kDense, 0, 0, array}); }

MaskExpression MaskExpression::joined(Kind kind, const MaskExpression& a, const MaskExpression& b) {
  if (a.terms_.size() + b.terms_.size() + 1 > kMostTerms) {
    value_error("mask: ", a.terms_.size() + b.terms_.size() + 1, " masks and operators are combined but at most ",
                kMostTerms, " can be; write a part of them out with masks.dense");
  }
  MaskExpression out = a;
  const int shift = static_cast<int>(a.terms_.size());
  for (Term term : b.terms_) {
    if (term.a >= 0) term.a += shift;
    if (term.b >= 0) term.b += shift;
    out.terms_.push_back(std::move(term));
  }
  Term root{kind};
  root.a = shift - 1, root.b = static_cast<int>(out.terms_.size()) - 1;
  const int first = a.terms_.back().depth, second = b.terms_.back().depth;
  root.depth = first == second ? first + 1 : std::max(first, second);
  out.terms_.push_back(std::move(root));
  return out;
}
MaskExpression operator&(const MaskExpression& a, const MaskExpression& b) {
  return MaskExpression::joined(MaskExpression::Kind::kAnd, a, b);
}
MaskExpression operator|(const MaskExpression& a, const MaskExpression& b) {
  return MaskExpression::joined(MaskExpression::Kind::kOr, a, b);
}
MaskExpression operator~(const MaskExpression& a) {
  if (a.terms_.size() + 1 > kMostTerms)
    value_error("mask: more than ", kMostTerms, " masks and operators are combined");
  MaskExpression out = a;
  MaskExpression::Term root{MaskExpression::Kind::kNot};
  root.a = static_cast<int>(a.terms_.size()) - 1, root.depth = a.terms_.back().depth;
  out.terms_.push_back(std::move(root));
  return out;
}

const char* MaskExpression::counts_positions() const {
  for (const Term& term : terms_) {
    switch (term.kind) {
      case Kind::kCausal: return "causal";
      case Kind::kWindow: return "window";
      case Kind::kStrided: return "strided";
      case Kind::kGlobalTokens: return "global_tokens";
      case Kind::kBlocks: return "blocks";
      case Kind::kDocuments: return "documents";
      default: break;
    }
  }
  return nullptr;
}

// ---- one call -------------------------------------------------------------------------------------------------------

// Postfix, the operand that needs more room first: the depth stays logarithmic in the number of terms.
void MaskExpression::emit(int root, std::vector<int>& order) const {
  const Term& term = terms_[static_cast<size_t>(root)];
  const auto depth = [&](int n) { return n < 0 ? 0 : terms_[static_cast<size_t>(n)].depth; };
  const int first = depth(term.a) >= depth(term.b) ? term.a : term.b;
  if (first >= 0) emit(first, order);
  const int second = first == term.a ? term.b : term.a;
  if (second >= 0) emit(second, order);
  order.push_back(root);
}

std::shared_ptr<const MaskRule> MaskExpression::rule_of(const std::vector<int>& roots, const char* op,
                                                        const MaskSizes& z) const {
  // The roots all hold: each but the first is followed by an "and".
  std::vector<int> order;
  constexpr int kJoin = -1;
  std::vector<int> sorted = roots;
  std::stable_sort(sorted.begin(), sorted.end(), [&](int a, int b) {
    return terms_[static_cast<size_t>(a)].depth > terms_[static_cast<size_t>(b)].depth;
  });
  for (size_t n = 0; n < sorted.size(); ++n) {
    emit(sorted[n], order);
    if (n > 0) order.push_back(kJoin);
  }

  auto rule = std::make_shared<MaskRule>();
  bool by_batch = false, by_head = false;
  std::vector<MaskStep> steps;
  std::vector<std::array<Index, 4>> strides;  // of the step's array, as it is laid out
  auto keep = [&](const std::shared_ptr<const std::vector<std::int32_t>>& table) {
    rule->tables_.push_back(table);
    return table->data();
  };
  for (const int index : order) {
    MaskStep step;
    std::array<Index, 4> stride{};
    if (index == kJoin) {
      step.kind = Step::kAnd;
      steps.push_back(step), strides.push_back(stride);
      continue;
    }
    const Term& term = terms_[static_cast<size_t>(index)];
    step.offset = z.q_offset;
    if (term.array) rule->arrays_.push_back(term.array);
    switch (term.kind) {
      case Kind::kCausal: step.kind = Step::kBand, step.low = -2 * kFar, step.high = z.q_offset; break;
      case Kind::kWindow:
        step.kind = Step::kBand, step.low = z.q_offset - term.left, step.high = z.q_offset + term.right;
        break;
      case Kind::kStrided: step.kind = Step::kStride, step.size = term.left; break;
      case Kind::kLengths:
        check_lengths(op, term.array, z);
        step.kind = Step::kKeys, stride[0] = 1;
        break;
      case Kind::kPrefix:
        checked_lengths(op, "prefix", term.array, true, z);
        step.kind = Step::kKeys, stride[0] = term.array.size() == 1 ? 0 : 1;
        step.high = term.array.size() > 0 ? *term.array.data<std::int64_t>() : 0;
        break;
      case Kind::kGlobalTokens: {
        const std::int64_t* at = term.array.data<std::int64_t>();
        std::vector<std::int64_t> positions(at, at + term.array.size());
        std::sort(positions.begin(), positions.end());
        positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
        const Index end = std::max(z.keys, z.q_offset + z.length);
        if (!positions.empty() && (positions.front() < 0 || positions.back() >= end)) {
          value_error(op, ": global_tokens holds ", positions.front() < 0 ? positions.front() : positions.back(),
                      " but must hold 0 to ", end - 1, ", the positions of the call");
        }
        step.kind = Step::kGlobal;
        step.query_counts = keep(position_counts(positions, z.q_offset, z.length));
        step.key_counts = keep(position_counts(positions, 0, z.keys));
        break;
      }
      case Kind::kBlocks: {
        const Index rows = term.array.dim(-2), cols = term.array.dim(-1);
        if (term.array.rank() == 3 && term.array.dim(0) != z.heads)
          value_error(op, ": blocks has a layout of ", term.array.dim(0), " heads but the query has ", z.heads);
        const auto covered = [&](Index n) { return n > kFar / term.left ? kFar : n * term.left; };
        check_covers(op, "blocks", covered(rows), covered(cols), z);
        step.kind = Step::kBlocks, step.size = term.left, step.sums = keep(term.sums), step.sums_row = cols + 1;
        if (term.array.rank() == 3) stride[1] = (rows + 1) * (cols + 1);
        break;
      }
      case Kind::kDocuments: {
        const Index positions = term.array.dim(-1);
        if (term.array.rank() == 2 && term.array.dim(0) != z.batch)
          value_error(op, ": documents has ", term.array.dim(0), " rows but the batch has ", z.batch);
        check_covers(op, "documents", positions, positions, z);
        step.kind = Step::kDocuments, step.ids = term.array.data<std::int64_t>();
        if (term.array.rank() == 2) stride[0] = positions;
        break;
      }
      case Kind::kDense:
        stride = strides_of(op, term.array, z);
        step.kind = Step::kArray, step.array = term.array.data<bool>(), step.row = stride[2], step.col = stride[3];
        break;
      case Kind::kAnd: step.kind = Step::kAnd; break;
      case Kind::kOr: step.kind = Step::kOr; break;
      case Kind::kNot: step.kind = Step::kNot; break;
    }
    by_batch = by_batch || stride[0] != 0, by_head = by_head || stride[1] != 0;
    if (step.kind == Step::kKeys && stride[0] != 0) step.ids = term.array.data<std::int64_t>();
    steps.push_back(step), strides.push_back(stride);
  }

  // The steps again for each batch entry and head that has its own.
  const Index batches = by_batch ? z.batch : 1, heads = by_head ? z.heads : 1;
  rule->count_ = static_cast<Index>(steps.size());
  rule->head_ = by_head ? 1 : 0, rule->batch_ = by_batch ? heads : 0;
  rule->steps_.reserve(static_cast<size_t>(batches * heads) * steps.size());
  for (Index b = 0; b < batches; ++b) {
    for (Index h = 0; h < heads; ++h) {
      for (size_t n = 0; n < steps.size(); ++n) {
        MaskStep step = steps[n];
        const Index at = b * strides[n][0] + h * strides[n][1];
        switch (step.kind) {
          case Step::kKeys:
            if (step.ids != nullptr) step.high = step.ids[at];
            break;
          case Step::kBlocks: step.sums += at; break;
          case Step::kDocuments:
            step.ids += at;
            step.sorted = std::is_sorted(step.ids, step.ids + std::max(z.keys, z.q_offset + z.length));
            break;
          case Step::kArray: step.array += at; break;
          default: break;
        }
        rule->steps_.push_back(step);
      }
    }
  }
  return rule;
}

void MaskExpression::lower(AttentionOptions& options, const char* op, const MaskSizes& z) const {
  std::vector<int> all{static_cast<int>(terms_.size()) - 1}, rest;
  bool cut = false;  // options.key_lengths is a copy
  while (!all.empty()) {
    const int root = all.back();
    all.pop_back();
    const Term& term = terms_[static_cast<size_t>(root)];
    switch (term.kind) {
      case Kind::kAnd: all.push_back(term.b), all.push_back(term.a); break;
      case Kind::kCausal: options.causal = true; break;
      case Kind::kWindow:
        options.left = std::min(term.left, options.left.value_or(term.left));
        options.right = std::min(term.right, options.right.value_or(term.right));
        break;
      case Kind::kLengths:
      case Kind::kPrefix: {
        if (term.kind == Kind::kLengths) check_lengths(op, term.array, z);
        const std::int64_t* n = checked_lengths(op, "prefix", term.array, term.kind == Kind::kPrefix, z);
        if (!cut) {
          cut = true;
          options.key_lengths = Tensor::empty({z.batch}, DType::kInt64);
          std::fill_n(options.key_lengths.data<std::int64_t>(), z.batch, z.keys);
        }
        for (Index b = 0; b < z.batch; ++b) {
          std::int64_t& length = options.key_lengths.data<std::int64_t>()[b];
          length = std::min(length, n[term.array.size() == 1 ? 0 : b]);
        }
        break;
      }
      case Kind::kDense:
        strides_of(op, term.array, z);
        if (!options.mask) {
          options.mask = term.array;
          break;
        }
        [[fallthrough]];
      default: rest.push_back(root);
    }
  }
  if (!rest.empty()) options.rule = rule_of(rest, op, z);
}

// ---- written out ----------------------------------------------------------------------------------------------------

namespace {

// body(i0, queries, j0, keys, bits or null where all is allowed) over the tiles in which something is.
template <typename Body>
void for_allowed(const kernels::MaskRule& rule, Index length, Index keys, const Body& body) {
  std::uint64_t bits[kernels::kRuleKeys];
  for (Index i0 = 0; i0 < length; i0 += kernels::kRuleQueries) {
    const Index count = std::min(kernels::kRuleQueries, length - i0);
    kernels::RuleTile tile;
    for (Index from = 0; kernels::next_rule_tile(rule, i0, count, from, keys, kernels::kRuleKeys, tile);
         from = tile.next) {
      if (tile.some) kernels::evaluate_rule(rule, i0, count, tile.begin, tile.keys, bits);
      body(i0, count, tile.begin, tile.keys, tile.some ? bits : nullptr);
    }
  }
}

}  // namespace

Tensor MaskRule::written_out(const MaskSizes& z) const {
  const Tensor out = Tensor::zeros({z.batch, z.heads, z.length, z.keys}, DType::kBool);
  for (Index bh = 0; bh < z.batch * z.heads; ++bh) {
    bool* to = out.data<bool>() + bh * z.length * z.keys;
    for_allowed(of(bh / z.heads, bh % z.heads), z.length, z.keys,
                [&](Index i0, Index count, Index j0, Index keys, const std::uint64_t* bits) {
                  for (Index i = 0; i < count; ++i) {
                    bool* row = to + (i0 + i) * z.keys + j0;
                    for (Index j = 0; j < keys; ++j) row[j] = bits == nullptr || (bits[j] >> i & 1) != 0;
                  }
                });
  }
  return out;
}

Tensor MaskExpression::written_out(const char* op, const MaskSizes& z) const {
  return rule_of({static_cast<int>(terms_.size()) - 1}, op, z)->written_out(z);
}

Tensor MaskExpression::cell_counts(const char* op, const MaskSizes& z, Index b, Index h, Index side) const {
  if (b < 0 || b >= z.batch) value_error(op, ": batch_entry is ", b, " but must be 0 to ", z.batch - 1);
  if (h < 0 || h >= z.heads) value_error(op, ": head is ", h, " but must be 0 to ", z.heads - 1);
  const auto rule = rule_of({static_cast<int>(terms_.size()) - 1}, op, z);
  const Index rows = (z.length + side - 1) / side, cols = (z.keys + side - 1) / side;
  const Tensor out = Tensor::zeros({rows, cols}, DType::kInt64);
  std::int64_t* counts = out.data<std::int64_t>();
  for_allowed(
      rule->of(b, h), z.length, z.keys, [&](Index i0, Index count, Index j0, Index keys, const std::uint64_t* bits) {
        for (Index i = 0; i < count;) {  // the queries of one row of cells
          const Index row = (i0 + i) / side, end = std::min(count, (row + 1) * side - i0);
          const std::uint64_t lanes = (end - i == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (end - i)) - 1) << i;
          for (Index j = 0; j < keys; ++j) {
            const std::uint64_t allowed = bits == nullptr ? lanes : bits[j] & lanes;
            counts[row * cols + (j0 + j) / side] += std::popcount(allowed);
          }
          i = end;
        }
      });
  return out;
}

}  // namespace attendo

// One call of blocked attention: where its arrays lie and what its options amount to. For the files of this folder.
#pragma once

#include <cmath>

#include "attention/mask_rule.h"
#include "attention/score_code.h"
#include "core/parallel.h"
#include "kernels/attention.h"
#include "ops/dropout.h"

namespace attendo::blocked {

constexpr Index kTaskWork = 400000;

// Where (b, h, row) of an operand begins: at + b·batch + h·head + row·row.
struct Layout {
  Index at = 0, batch = 0, head = 0, row = 0;
};

struct Problem {
  Index batch = 1, heads = 1, kv_heads = 1, length = 0, keys = 0, d = 0, d_v = 0;
  Tensor q, k, v;
  Layout q_layout, k_layout, v_layout, out_layout;
  double scale = 1;
  Index q_offset = 0;
  Tensor q_offsets;                  // int64 (batch,), in place of q_offset
  std::optional<Index> left, right;  // causal: right 0
  std::shared_ptr<const MaskRule> rule;
  Index rule_row = 0;
  Tensor key_lengths, mask, bias, sinks;
  std::shared_ptr<const ScoreCodes> scores;  // the soft-cap and the score program, or null
  Tensor mask_bits;  // the mask as kernels want it, 64 queries a word: int64 (matrices, L / 64 or 1, S or 1)
  std::vector<Index> bits_batch;
  Index bits_head = 0, bits_row = 0;
  std::vector<Index> mask_batch, bias_batch;  // first element of each batch entry
  Layout mask_layout, bias_layout;            // head and row strides
  Index mask_col = 0, bias_col = 0;
  double dropout = 0;
  std::uint64_t stream = 0;
  Index first_batch = 0;  // of all batch entries, where the problem is a part: its dropout is that of the whole
  Shape weights_shape;
  double softcap = 0;
  Twice twice = Twice::kNo;

  Index group() const { return heads / kv_heads; }
  Index offset_of(Index b) const { return q_offsets ? q_offsets.data<std::int64_t>()[b] : q_offset; }
  Index work() const { return length * keys * (d + d_v); }  // of one head
};

// registers: of this task, where there is a score program.
template <typename T>
kernels::AttentionHead<T> head_of(const Problem& p, Index b, Index h, T* registers = nullptr) {
  kernels::AttentionHead<T> head;
  const Index kv = h / p.group();
  head.query_length = p.length, head.d = p.d, head.d_v = p.d_v;
  head.q = p.q.data<T>() + p.q_layout.at + b * p.q_layout.batch + h * p.q_layout.head;
  head.k = p.k.data<T>() + p.k_layout.at + b * p.k_layout.batch + kv * p.k_layout.head;
  head.v = p.v.data<T>() + p.v_layout.at + b * p.v_layout.batch + kv * p.v_layout.head;
  head.q_row = p.q_layout.row, head.k_row = p.k_layout.row, head.v_row = p.v_layout.row;
  head.scale = static_cast<T>(p.scale);
  head.key_length = p.keys;
  head.keys = p.key_lengths ? p.key_lengths.data<std::int64_t>()[b] : p.keys;
  const Index at = p.offset_of(b);
  head.causal = p.right.has_value(), head.offset = at + p.right.value_or(0);
  head.windowed = p.left.has_value(), head.begin = at - p.left.value_or(0);
  if (p.rule) head.rule = p.rule->of(b, h, p.rule_row);
  if (p.mask) {
    head.mask = reinterpret_cast<const std::uint64_t*>(p.mask_bits.data<std::int64_t>()) +
                p.bits_batch[static_cast<size_t>(b)] + h * p.bits_head;
    head.mask_row = p.bits_row, head.mask_col = p.mask_col;
  }
  if (p.bias) {
    head.bias = p.bias.data<T>() + p.bias_batch[static_cast<size_t>(b)] + h * p.bias_layout.head;
    head.bias_row = p.bias_layout.row, head.bias_col = p.bias_col;
  }
  if (p.dropout > 0) {
    head.dropout = true;
    head.stream = mix_seed(p.stream, static_cast<std::uint64_t>((p.first_batch + b) * p.heads + h));
    head.drop_below = drop_threshold(p.dropout);
    head.keep_scale = keep_scale<T>(p.dropout);
  }
  if (p.sinks) head.sink = p.sinks.data<T>()[h];
  if (p.scores) {
    head.program = &p.scores->forward();
    head.registers = registers;
    head.batch = p.first_batch + b, head.head = h, head.q_offset = at;
  }
  return head;
}

template <typename T>
Index score_scratch(const Problem& p, bool backward) {
  return p.scores ? p.scores->scratch(kernels::attention_kernels<T>(), backward) : 0;
}

// body(b, h, first row, end row, scratch, registers) over blocks of queries, several a task while they are small.
template <typename T, typename Body>
void for_query_blocks(const Problem& p, Index weight_keys, const Body& body) {
  const auto& kernel = kernels::attention_kernels<T>();
  const Index blocks = (p.length + kernel.panel - 1) / kernel.panel;
  const Index units = p.batch * p.heads * blocks;
  const Index unit_work = std::max<Index>(1, std::min(kernel.panel, p.length) * p.keys * (p.d + p.d_v));
  const Index grain = std::max<Index>(1, kTaskWork / unit_work);
  parallel_ranges(units, grain, [&](Index begin, Index end) {
    const Index size = kernel.forward_scratch(p.d, p.d_v, weight_keys);
    Scratch<T> scratch(static_cast<size_t>(size + score_scratch<T>(p, false)));
    for (Index unit = begin; unit < end;) {
      const Index bh = unit / blocks;
      const Index last = std::min(end, (bh + 1) * blocks);  // blocks of one head in one call
      body(bh / p.heads, bh % p.heads, unit % blocks * kernel.panel,
           std::min(p.length, (last - bh * blocks) * kernel.panel), scratch.get(), scratch.get() + size);
      unit = last;
    }
  });
}

// ---- options --------------------------------------------------------------------------------------------------------

// Every option has its place in `expanded`, or makes this kNo: then gradients of gradients are refused. A new member of
// AttentionOptions does not compile here before that is decided.
inline Twice twice_of(const AttentionOptions& options) {
  [[maybe_unused]] const auto& [scale, causal, q_offset, q_offsets, left, right, rule, rule_row, key_lengths, mask,
                                bias, softcap, program, sinks, dropout, generator] = options;
  return program ? Twice::kNo : Twice::kYes;
}

// Strides of an array broadcast to (batch…, H, L, S): the batch axes flattened to one offset an entry.
inline void broadcast_layout(const char* name, const Tensor& x, const Shape& target, std::vector<Index>& batch,
                             Layout& layout, Index& col) {
  bool fits = x.rank() <= target.rank();
  const int lead = target.rank() - x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = x.dim(i) == 1 || x.dim(i) == target[i + lead];
  if (!fits) {
    value_error("attention: ", name, " has shape ", x.shape(), ", which does not broadcast to the weights' shape ",
                target);
  }
  std::array<Index, kMaxRank> stride{};
  Index step = 1;
  for (int axis = target.rank() - 1; axis >= lead; --axis) {
    const Index dim = x.dim(axis - lead);
    stride[static_cast<size_t>(axis)] = dim == 1 ? 0 : step;
    step *= dim;
  }
  const int rank = target.rank();
  col = stride[static_cast<size_t>(rank - 1)];
  layout.row = stride[static_cast<size_t>(rank - 2)];
  layout.head = rank >= 3 ? stride[static_cast<size_t>(rank - 3)] : 0;
  batch.assign(static_cast<size_t>(target.product(0, std::max(0, rank - 3))), 0);
  for (size_t i = 0; i < batch.size(); ++i) {
    Index rest = static_cast<Index>(i);
    for (int axis = rank - 4; axis >= 0; --axis) {
      batch[i] += rest % target[axis] * stride[static_cast<size_t>(axis)];
      rest /= target[axis];
    }
  }
}

// Reads an array of bytes once, not by every head.
inline void pack_mask(Problem& p) {
  const Tensor& mask = p.mask;
  const Index rows = mask.rank() >= 2 ? mask.dim(-2) : 1, cols = mask.rank() >= 1 ? mask.dim(-1) : 1;
  const Index blocks = (rows + kernels::kRuleQueries - 1) / kernels::kRuleQueries;
  const auto words_of = [&](Index entries) { return rows * cols == 0 ? 0 : entries / (rows * cols) * blocks * cols; };
  p.mask_bits = Tensor::empty({words_of(mask.size())}, DType::kInt64);
  auto* words = reinterpret_cast<std::uint64_t*>(p.mask_bits.data<std::int64_t>());
  const Index units = cols == 0 ? 0 : p.mask_bits.size() / cols;
  parallel_ranges(units, rows_per_task(kernels::kRuleQueries * cols), [&](Index begin, Index end) {
    for (Index n = begin; n < end; ++n) {
      const Index row = n % blocks * kernels::kRuleQueries, count = std::min(kernels::kRuleQueries, rows - row);
      std::uint64_t* to = words + n * cols;
      kernels::pack_mask(mask.data<bool>() + (n / blocks * rows + row) * cols, cols, count, cols, to);
      if (rows == 1) {  // perhaps for all queries
        for (Index j = 0; j < cols; ++j) to[j] = to[j] != 0 ? ~std::uint64_t{0} : 0;
      }
    }
  });
  p.bits_batch.clear();
  for (const Index at : p.mask_batch) p.bits_batch.push_back(words_of(at));
  p.bits_head = words_of(p.mask_layout.head);
  p.bits_row = p.mask_layout.row == 0 ? 0 : cols;
}

// heads: of the query.
inline void apply_options(Problem& p, const AttentionOptions& o, Index heads) {
  p.scale = o.scale.value_or(p.d > 0 ? 1.0 / std::sqrt(static_cast<double>(p.d)) : 1.0);
  if (!std::isfinite(p.scale)) value_error("attention: scale is ", p.scale, " but must be a finite number");
  p.q_offset = o.q_offset, p.left = o.left, p.right = o.causal ? Index{0} : o.right, p.rule = o.rule;
  p.rule_row = o.rule_row, p.q_offsets = o.q_offsets;
  if (p.q_offsets && p.rule) {
    value_error(
        "attention: q_offset has an entry for each of the batch, which goes with masks.causal, window, lengths, "
        "prefix and one dense, joined by & alone");
  }
  if (o.key_lengths) {
    if (o.key_lengths.dtype() != DType::kInt64) type_error("attention: lengths must be int64");
    if (o.key_lengths.size() != p.batch) {
      value_error("attention: lengths has ", o.key_lengths.size(), " entries but the batch has ", p.batch);
    }
    for (Index b = 0; b < p.batch; ++b) {
      const Index n = o.key_lengths.data<std::int64_t>()[b];
      if (n < 0 || n > p.keys)
        value_error("attention: lengths holds ", n, " but must hold 0 to ", p.keys, ", the number of keys");
    }
    p.key_lengths = o.key_lengths;
  }
  if (o.mask) {
    if (o.mask.dtype() != DType::kBool) {
      type_error("attention: mask has dtype ", dtype_name(o.mask.dtype()),
                 " but must be bool (True = may attend); numbers to be added to the scores go to bias=");
    }
    p.mask = o.mask;
    broadcast_layout("mask", o.mask, p.weights_shape, p.mask_batch, p.mask_layout, p.mask_col);
    pack_mask(p);
  }
  if (o.bias) {
    check_float("attention", "bias", o.bias);
    check_same_dtype("attention", "bias", o.bias, "q", p.q);
    p.bias = o.bias;
    broadcast_layout("bias", o.bias, p.weights_shape, p.bias_batch, p.bias_layout, p.bias_col);
  }
  if (o.sinks) {
    check_float("attention", "sinks", o.sinks);
    check_same_dtype("attention", "sinks", o.sinks, "q", p.q);
    if (!(o.sinks.shape() == Shape{heads})) {
      value_error("attention: sinks has shape ", o.sinks.shape(), " but must have one entry for each query head, (",
                  heads, ",)");
    }
    p.sinks = o.sinks;
  }
  if (!(o.softcap >= 0) || !std::isfinite(o.softcap)) {
    value_error("attention: softcap is ", o.softcap, " but must be a finite number above 0");
  }
  if (o.softcap > 0 && p.q.dtype() == DType::kFloat32 && !(o.softcap > 1e-37 && o.softcap < 1e37)) {
    value_error("attention: softcap is ", o.softcap,
                ", which float32 cannot divide by: give one between 1e-37 and 1e37");
  }
  if (o.softcap > 0 || o.program) {
    const ScoreProgram program =
        o.softcap > 0 ? (o.program ? *o.program : ScoreProgram()).after_softcap(o.softcap) : *o.program;
    if (program.result() < 0) value_error("attention: the score program has no result");
    Tensors inputs{p.q, p.k, p.v, p.bias, p.sinks};
    for (const auto& table : program.tables()) inputs.push_back(table.values);
    ScoreExtent extent{p.batch, p.heads, p.length, p.keys, p.q_offset};
    if (p.q_offsets && p.q_offsets.size() > 0) {  // positions from the first of any entry to the last
      const auto* offsets = p.q_offsets.data<std::int64_t>();
      const auto [first, last] = std::minmax_element(offsets, offsets + p.q_offsets.size());
      extent.q_offset = *first, extent.length += *last - *first;
    }
    p.scores = std::make_shared<const ScoreCodes>(program, p.q.dtype(), extent, needs_grad(inputs));
  }
  if (!(o.dropout >= 0 && o.dropout < 1))
    value_error("attention: dropout is ", o.dropout, " but must be 0 or more and below 1");
  p.dropout = o.dropout;
  if (p.dropout > 0) {
    if (o.generator == nullptr) value_error("attention: dropout needs generator=");
    p.stream = o.generator->next_stream();
  }
  p.softcap = o.softcap;
  p.twice = twice_of(o);
}

inline Layout dense_layout(const Tensor& x) {  // (…, H, N, D)
  const Index row = x.dim(-1), head = row * x.dim(-2);
  return {0, x.rank() >= 3 ? head * x.dim(-3) : head, head, row};
}

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), checked.
inline Problem dense_problem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const std::pair<const char*, const Tensor*> inputs[] = {{"q", &q}, {"k", &k}, {"v", &v}};
  for (const auto& [name, x] : inputs) {
    check_float("attention", name, *x);
    check_min_rank("attention", name, *x, 2, "(..., length, features)");
    check_same_dtype("attention", name, *x, "q", q);
    if (x->rank() != q.rank()) {
      value_error("attention: ", name, " has shape ", x->shape(), " but q has shape ", q.shape(),
                  "; they must have as many axes");
    }
  }
  Problem p;
  p.q = q, p.k = k, p.v = v;
  p.length = q.dim(-2), p.keys = k.dim(-2), p.d = q.dim(-1), p.d_v = v.dim(-1);
  if (k.dim(-1) != p.d) value_error("attention: key has ", k.dim(-1), " features but query has ", p.d);
  if (v.dim(-2) != p.keys) value_error("attention: value has ", v.dim(-2), " positions but key has ", p.keys);
  const int rank = q.rank();
  if (rank >= 3) {
    p.heads = q.dim(-3), p.kv_heads = k.dim(-3);
    if (v.dim(-3) != p.kv_heads) value_error("attention: value has ", v.dim(-3), " heads but key has ", p.kv_heads);
    if (p.kv_heads == 0 ? p.heads != 0 : p.heads % p.kv_heads != 0) {
      value_error("attention: query has ", p.heads, " heads, which is not a multiple of key's ", p.kv_heads);
    }
  }
  for (int axis = 0; axis < rank - 3; ++axis) {
    for (const auto& [name, x] : inputs) {
      if (x->dim(axis) != q.dim(axis)) {
        value_error("attention: ", name, " has shape ", x->shape(), " but q has shape ", q.shape(), "; axis ", axis,
                    " must agree");
      }
    }
    p.batch *= q.dim(axis);
  }
  p.weights_shape = q.shape();
  p.weights_shape[-1] = p.keys;
  if (p.kv_heads == 0) p.kv_heads = p.heads = 1, p.batch = 0;  // nothing to do, but shapes are right
  p.q_layout = dense_layout(q), p.k_layout = dense_layout(k), p.v_layout = dense_layout(v);
  p.out_layout = {0, p.heads * p.length * p.d_v, p.length * p.d_v, p.d_v};
  apply_options(p, options, rank >= 3 ? q.dim(-3) : 1);
  return p;
}

}  // namespace attendo::blocked

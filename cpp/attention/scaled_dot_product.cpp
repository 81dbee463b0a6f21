// Scaled dot-product attention
//
//   s_ij = f(scale q_i·k_j) + b_ij   P_i = softmax over the allowed j of s_ij      o_i = Σ_j P_ij v_j
//
//   f: the soft-cap c tanh(s / c), then the score program (score_program.h), where asked for; else the identity.
//   A sink z_h is one more score in the denominator: P_ij = exp(s_ij) / (exp(z_h) + Σ_j exp(s_ij)).
//
//   backward   D_i = Σ_c do_ic o_ic (+ Σ_j dP_ij P_ij where the weights themselves were used)
//              dv_j = Σ_i P_ij do_i        dS_ij = P_ij (do_i·v_j + dP_ij - D_i)
//              dq_i = scale Σ_j dS_ij f' k_j  dk_j = scale Σ_i dS_ij f' q_i   db_ij = dS_ij
//              dz_h = -Σ_i D_i exp(z_h) / (exp(z_h) + Σ_j exp(s_ij))
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  Head h reads kv head h / (H / Hkv).  Kept: o, and of each row its largest score and the sum of exponentials.
// A query that may attend to nothing gives zeros and zero gradients.   Vaswani et al. 2017, eq. 1; Dao et al. 2022.
#include "attention/scaled_dot_product.h"

#include <cmath>

#include "attention/expanded.h"
#include "attention/mask_rule.h"
#include "attention/score_code.h"
#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/attention.h"
#include "kernels/rows.h"
#include "ops/arithmetic.h"
#include "ops/dropout.h"

namespace attendo {
namespace {

constexpr Index kTaskWork = 400000;
constexpr Index kBackwardTasks = 8;  // key ranges are cut until there are so many

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

// What backward needs of each row, besides the output: two numbers (see kernels/attention.h).
template <typename T>
struct RowStatistics {
  T *max, *inverse;
  RowStatistics(const Tensor& saved) : max(saved.data<T>()), inverse(max + saved.size() / 2) {}
};

// weights: (B, H, L, S), or null.
template <typename T>
void attention_forward(T* out, const RowStatistics<T>& rows, T* weights, const Problem& p) {
  std::uint64_t out_of_bounds = 0;
  const Index weight_keys = weights == nullptr ? 0 : p.keys;
  for_query_blocks<T>(p, weight_keys, [&](Index b, Index h, Index begin, Index end, T* scratch, T* registers) {
    const Index bh = b * p.heads + h;
    auto head = head_of<T>(p, b, h, registers);
    head.out_of_bounds = &out_of_bounds;
    kernels::attention_kernels<T>().forward(head, begin, end, out + b * p.out_layout.batch + h * p.out_layout.head,
                                            p.out_layout.row, rows.max + bh * p.length, rows.inverse + bh * p.length,
                                            weights == nullptr ? nullptr : weights + bh * p.length * p.keys, p.keys,
                                            scratch);
  });
  if (out_of_bounds != 0) p.scores->out_of_bounds(out_of_bounds);
}

template <typename T>
struct Gradients {
  T *d_q, *d_k, *d_v;  // laid out as q, k and v
  T* d_bias;           // (B, H, L, S), zeroed, or null
  const T *d_out, *out;
  RowStatistics<T> rows;
  const T *weights, *d_weights;  // (B, H, L, S), or null
  T* d_sinks = nullptr;          // (H,), or null
  Tensors d_tables;              // of the score program's tables that want one, zeroed
};

// D_i = Σ_c do_ic o_ic + Σ_j dP_ij P_ij
template <typename T>
void row_delta(T* delta, const Gradients<T>& g, const Problem& p) {
  const auto dots = kernels::attention_kernels<T>().row_dots;
  const Index grain = rows_per_task(p.d_v + (g.d_weights ? p.keys : 0));
  const Index parts = (p.length + grain - 1) / grain;
  parallel_ranges(
      p.batch * p.heads * parts, std::max<Index>(1, grain / std::max<Index>(1, p.length)), [&](Index begin, Index end) {
        for (Index part = begin; part < end; ++part) {
          const Index bh = part / parts, first = part % parts * grain, rows = std::min(grain, p.length - first);
          const Index at =
              bh / p.heads * p.out_layout.batch + bh % p.heads * p.out_layout.head + first * p.out_layout.row;
          T* to = delta + bh * p.length + first;
          dots(g.d_out + at, p.out_layout.row, g.out + at, p.out_layout.row, rows, p.d_v, to);
          if (g.d_weights == nullptr) continue;
          Scratch<T> more(static_cast<size_t>(rows));
          const Index from = (bh * p.length + first) * p.keys;
          dots(g.weights + from, p.keys, g.d_weights + from, p.keys, rows, p.keys, more.get());
          for (Index i = 0; i < rows; ++i) to[i] += more.get()[i];
        }
      });
}

// dz_h = -Σ_i D_i P_i of the sink
template <typename T>
void sink_gradient(T* d_sinks, const T* delta, const RowStatistics<T>& rows, const Problem& p) {
  const double log2_e = 1.44269504088896340736;
  parallel_for(std::min(p.heads, p.sinks.size()), [&](Index h) {
    const T sink = p.sinks.data<T>()[h] * static_cast<T>(log2_e);
    double sum = 0;
    for (Index b = 0; b < p.batch; ++b) {
      const Index first = (b * p.heads + h) * p.length;
      for (Index i = first; i < first + p.length; ++i) {
        const T share = std::exp2(sink - rows.max[i]) * rows.inverse[i];
        // All of it: the row attends to nothing else.
        if (share != T(0) && share != T(1)) sum -= static_cast<double>(share) * static_cast<double>(delta[i]);
      }
    }
    d_sinks[h] = static_cast<T>(sum);
  });
}

// Who adds to the gradients of a score program's tables. Tables that are used by (batch entry and) head: one task has all
// of a (batch entry,) head, and writes to its parts alone. Others: tasks of several units, with a copy each, added in order.
template <typename T>
struct TableSums {
  static constexpr Index kMaxCopies = Index{1} << 24;  // elements in all
  const Tensors& tables;
  Index pairs, chunks, heads, tasks = 0, task_units = 0, size = 0;
  bool by_head = false;
  std::unique_ptr<Scratch<T>> copies;
  std::vector<T*> parts;  // (tasks, tables)

  TableSums(const Tensors& d_tables, const Problem& p, Index pairs_, Index chunks_)
      : tables(d_tables), pairs(pairs_), chunks(chunks_), heads(p.kv_heads) {
    if (!any()) return;
    for (const Tensor& x : tables) size += x.size();
    const Index units = pairs * chunks;
    const auto owner = p.scores->owner();
    const bool large = size * kMaxShards > kMaxCopies / 8;
    const bool own = large && owner != ScoreCodes::Owner::kNobody;
    if (own) {
      by_head = owner == ScoreCodes::Owner::kHead;
      tasks = by_head ? heads : pairs;
      task_units = chunks * (by_head ? pairs / std::max<Index>(1, heads) : 1);
    } else {
      const Index most = std::clamp<Index>(kMaxCopies / std::max<Index>(1, size), 1, kMaxShards);
      task_units = std::max<Index>(1, (units + most - 1) / most);
      tasks = (units + task_units - 1) / task_units;
    }
    const bool copy = !own && tasks > 1;
    if (copy) {
      copies = std::make_unique<Scratch<T>>(static_cast<size_t>(size * (tasks - 1)));
      std::fill_n(copies->get(), size * (tasks - 1), T(0));
    }
    for (Index task = 0; task < tasks; ++task) {
      T* at = copy && task > 0 ? copies->get() + (task - 1) * size : nullptr;
      for (const Tensor& x : tables) {
        parts.push_back(at == nullptr ? x.data<T>() : at);
        if (at != nullptr) at += x.size();
      }
    }
  }

  bool any() const { return !tables.empty(); }

  // body(unit, where the gradients of the tables go)
  template <typename Body>
  void run(Index task, const Body& body) const {
    T* const* to = parts.data() + task * static_cast<Index>(tables.size());
    for (Index n = 0; n < task_units; ++n) {
      const Index unit = by_head ? (n / chunks * heads + task) * chunks + n % chunks : task * task_units + n;
      if (unit < pairs * chunks) body(unit, to);
    }
  }

  void finish() const {
    if (copies == nullptr) return;
    Index before = 0;
    for (const Tensor& x : tables) {
      parallel_ranges(x.size(), 65536, [&](Index begin, Index end) {
        T* to = x.data<T>();
        for (Index task = 1; task < tasks; ++task) {
          const T* from = copies->get() + (task - 1) * size + before;
          for (Index n = begin; n < end; ++n) to[n] += from[n];
        }
      });
      before += x.size();
    }
  }
};

template <typename T>
void attention_backward(const Gradients<T>& g, const Problem& p) {
  const auto& kernel = kernels::attention_kernels<T>();
  if (p.group() == 0) {  // keys that no query head reads
    std::fill_n(g.d_k, p.k.size(), T(0));
    std::fill_n(g.d_v, p.v.size(), T(0));
    return;
  }
  Scratch<T> delta(static_cast<size_t>(p.batch * p.heads * p.length));
  row_delta(delta.get(), g, p);
  if (g.d_sinks != nullptr) sink_gradient(g.d_sinks, delta.get(), g.rows, p);

  // One unit: the query heads of one (batch, kv head) against one range of keys.
  const Index pairs = p.batch * p.kv_heads;
  const Index chunks =
      std::clamp<Index>((kBackwardTasks + pairs - 1) / std::max<Index>(1, pairs), 1, std::max<Index>(1, p.keys / 192));
  const Index chunk_keys = ((p.keys + chunks - 1) / chunks + 95) / 96 * 96;
  const Index d_q_size = kernel.d_q_scratch(p.length, p.d);
  const Index units = pairs * chunks;
  Scratch<T> partial(static_cast<size_t>(chunks > 1 ? units * p.group() * d_q_size : 0));
  const Index grain = std::max<Index>(1, kTaskWork / std::max<Index>(1, p.work() * p.group() / chunks * 3));
  auto finish = [&](Index b, Index h, const T* panels) {
    kernel.finish_d_q(head_of<T>(p, b, h), panels, g.d_q + p.q_layout.at + b * p.q_layout.batch + h * p.q_layout.head,
                      p.q_layout.row);
  };
  auto run = [&](Index unit, T* own, T* scratch, T* registers, T* const* d_tables) {
    const Index b = unit / chunks / p.kv_heads, kv = unit / chunks % p.kv_heads, chunk = unit % chunks;
    const Index key_begin = std::min(p.keys, chunk * chunk_keys), key_end = std::min(p.keys, key_begin + chunk_keys);
    for (Index member = 0; member < p.group(); ++member) {
      const Index h = kv * p.group() + member, bh = b * p.heads + h;
      auto head = head_of<T>(p, b, h, registers);
      kernels::AttentionGradient<T> one;
      one.d_out = g.d_out + b * p.out_layout.batch + h * p.out_layout.head;
      one.d_out_row = p.out_layout.row;
      one.row_max = g.rows.max + bh * p.length;
      one.row_inverse = g.rows.inverse + bh * p.length;
      one.delta = delta.get() + bh * p.length;
      if (g.d_weights != nullptr) one.d_weights = g.d_weights + bh * p.length * p.keys, one.d_weights_row = p.keys;
      one.d_q = chunks > 1 ? partial.get() + (unit * p.group() + member) * d_q_size : own;
      one.d_k = g.d_k + p.k_layout.at + b * p.k_layout.batch + kv * p.k_layout.head;
      one.d_k_row = p.k_layout.row;
      one.d_v = g.d_v + p.v_layout.at + b * p.v_layout.batch + kv * p.v_layout.head;
      one.d_v_row = p.v_layout.row;
      one.add_kv = member > 0;
      if (g.d_bias != nullptr) one.d_bias = g.d_bias + bh * p.length * p.keys, one.d_bias_row = p.keys;
      if (p.scores) {
        head.program_slope = &p.scores->slope();
        if (!g.d_tables.empty()) head.program_sums = p.scores->sums();
        one.d_tables = d_tables;
      }
      kernel.backward(head, one, key_begin, key_end, scratch);
      if (chunks == 1) finish(b, h, own);
    }
  };
  const TableSums<T> sums(g.d_tables, p, pairs, chunks);
  parallel_ranges(sums.any() ? sums.tasks : units, sums.any() ? 1 : grain, [&](Index begin, Index end) {
    const Index size = kernel.backward_scratch(p.length, p.d, p.d_v);
    Scratch<T> scratch(static_cast<size_t>(size + score_scratch<T>(p, true)));
    Scratch<T> own(static_cast<size_t>(chunks > 1 ? 0 : d_q_size));
    auto run_here = [&](Index unit, T* const* d_tables) {
      run(unit, own.get(), scratch.get(), scratch.get() + size, d_tables);
    };
    if (!sums.any()) {
      for (Index unit = begin; unit < end; ++unit) run_here(unit, nullptr);
    } else {
      for (Index task = begin; task < end; ++task) sums.run(task, run_here);
    }
  });
  sums.finish();
  if (chunks == 1) return;
  // The chunks' parts of dq, added in order.
  parallel_for(pairs * p.group(), [&](Index index) {
    const Index pair = index / p.group(), member = index % p.group();
    T* first = partial.get() + (pair * chunks * p.group() + member) * d_q_size;
    for (Index chunk = 1; chunk < chunks; ++chunk) {
      const T* part = first + chunk * p.group() * d_q_size;
      for (Index i = 0; i < d_q_size; ++i) first[i] += part[i];
    }
    finish(pair / p.kv_heads, pair % p.kv_heads * p.group() + member, first);
  });
}

// ---- gradients of gradients -----------------------------------------------------------------------------------------

// Every option has its place in `expanded`, or makes this kNo: then gradients of gradients are refused. A new member of
// AttentionOptions does not compile here before that is decided.
Twice twice_of(const AttentionOptions& options) {
  [[maybe_unused]] const auto& [scale, causal, q_offset, q_offsets, left, right, rule, rule_row, key_lengths, mask,
                                bias, softcap, program, sinks, dropout, generator] = options;
  return program ? Twice::kNo : Twice::kYes;
}

// body(b, h, l, j) for all of (B, H, L, S), as bool
template <typename Body>
Tensor for_pairs(const Problem& p, const Body& body) {
  const Tensor out = Tensor::empty({p.batch, p.heads, p.length, p.keys}, DType::kBool);
  bool* to = out.data<bool>();
  parallel_ranges(p.batch * p.heads * p.length, rows_per_task(8 * p.keys), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index bh = row / p.length, b = bh / p.heads, h = bh % p.heads, l = row % p.length;
      for (Index j = 0; j < p.keys; ++j) to[row * p.keys + j] = body(b, h, l, j);
    }
  });
  return out;
}

Tensor allowed_pairs(const Problem& p) {
  if (!p.left && !p.right && !p.key_lengths && !p.mask && !p.rule) return {};
  const Tensor allowed = for_pairs(p, [&](Index b, Index h, Index l, Index j) {
    const Index i = l + p.offset_of(b);
    if (p.left && j < i - *p.left) return false;
    if (p.right && j > i + *p.right) return false;
    if (p.key_lengths && j >= p.key_lengths.data<std::int64_t>()[b]) return false;
    if (!p.mask) return true;
    const Index at = p.mask_batch[static_cast<size_t>(b)] + h * p.mask_layout.head + l * p.mask_layout.row;
    return p.mask.data<bool>()[at + j * p.mask_col];
  });
  if (!p.rule) return allowed;
  bool* to = allowed.data<bool>();
  parallel_for(p.batch * p.heads, [&](Index bh) {
    const kernels::MaskRule rule = p.rule->of(bh / p.heads, bh % p.heads, p.rule_row);
    std::uint64_t bits[kernels::kRuleKeys];
    for (Index l = 0; l < p.length; l += kernels::kRuleQueries) {
      const Index rows = std::min(kernels::kRuleQueries, p.length - l);
      for (Index j = 0; j < p.keys; j += kernels::kRuleKeys) {
        const Index keys = std::min(kernels::kRuleKeys, p.keys - j);
        kernels::evaluate_rule(rule, l, rows, j, keys, bits);
        for (Index x = 0; x < keys; ++x) {
          for (Index y = 0; y < rows; ++y) {
            bool& pair = to[(bh * p.length + l + y) * p.keys + j + x];
            pair = pair && (bits[x] >> y & 1) != 0;
          }
        }
      }
    }
  });
  return allowed;
}

Tensor kept_pairs(const Problem& p) {
  if (p.dropout == 0) return {};
  const std::uint32_t drop_below = drop_threshold(p.dropout);
  return for_pairs(p, [&](Index b, Index h, Index l, Index j) {
    const std::uint64_t stream = mix_seed(p.stream, static_cast<std::uint64_t>(b * p.heads + h));
    const std::uint32_t key = kernels::row_key(stream, static_cast<std::uint64_t>(j));
    return kernels::random_bits(key, static_cast<std::uint32_t>(l)) >= drop_below;
  });
}

// What attention's node does, in differentiable operations. inputs: q, k, v, bias, sinks; `columns`: q, k and v as attend_heads has
// them.
Tensors expanded(const Problem& p, bool columns, const Tensors& inputs) {
  auto heads_of = [&](const Tensor& x, const Layout& layout, Index heads, Index rows, Index d) {
    if (!columns) return reshape(x, {p.batch, heads, rows, d});
    const Tensor own = take(x, 2, layout.at, layout.at + heads * d);
    return transpose(reshape(own, {p.batch, rows, heads, d}), {0, 2, 1, 3});
  };
  ExpandedAttention e;
  e.q = heads_of(inputs[0], p.q_layout, p.heads, p.length, p.d);
  e.k = heads_of(inputs[1], p.k_layout, p.kv_heads, p.keys, p.d);
  e.v = heads_of(inputs[2], p.v_layout, p.kv_heads, p.keys, p.d_v);
  e.scale = p.scale;
  if (inputs[3]) {
    e.bias = reshape(broadcast_to(inputs[3], p.weights_shape), {p.batch, p.heads, p.length, p.keys});
  }
  e.softcap = p.softcap;
  e.sinks = inputs[4];
  e.allowed = allowed_pairs(p);
  e.kept = kept_pairs(p);
  if (e.kept) e.keep_scale = keep_scale<double>(p.dropout);
  Tensors results = expanded_attention(e);
  if (columns) {
    results[0] = reshape(transpose(results[0], {0, 2, 1, 3}), {p.batch, p.length, p.heads * p.d_v});
  } else {
    Shape shape = p.weights_shape;
    shape[-1] = p.d_v;
    results[0] = reshape(results[0], shape);
  }
  results[1] = reshape(results[1], p.weights_shape);
  return results;
}

// ---- checks ---------------------------------------------------------------------------------------------------------

// Strides of an array broadcast to (batch…, H, L, S): the batch axes flattened to one offset an entry.
void broadcast_layout(const char* name, const Tensor& x, const Shape& target, std::vector<Index>& batch, Layout& layout,
                      Index& col) {
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
void pack_mask(Problem& p) {
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
void apply_options(Problem& p, const AttentionOptions& o, Index heads) {
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

// ---- the tape -------------------------------------------------------------------------------------------------------

// Runs the problem; `shared` says that q, k and v may be parts of one tensor, whose gradient is then one as well.
AttentionResult attend(const Problem& p, const Shape& out_shape, bool return_weights, bool shared) {
  AttentionResult result;
  const DType dtype = p.q.dtype();
  result.out = Tensor::empty(out_shape, dtype);
  const Tensor rows = Tensor::empty({2, p.batch * p.heads * p.length}, dtype);
  if (return_weights) result.weights = Tensor::empty(p.weights_shape, dtype);
  dispatch_float("attention", "q", p.q, [&](auto zero) {
    using T = decltype(zero);
    attention_forward<T>(result.out.data<T>(), rows, return_weights ? result.weights.data<T>() : nullptr, p);
  });
  Tensors inputs{p.q, p.k, p.v, p.bias, p.sinks};
  if (p.scores) inputs.insert(inputs.end(), p.scores->trained().begin(), p.scores->trained().end());
  if (!needs_grad(inputs)) return result;
  Tensors outputs{result.out};
  if (return_weights) outputs.push_back(result.weights);
  record(p.scores ? "attention with score_mod" : "attention", std::move(inputs), outputs, p.twice,
         [p, shared, rows, out = result.out.detach(),
          weights = return_weights ? result.weights.detach() : Tensor()](const Tensors& d) {
           if (grad_enabled()) {
             return accumulate_through({p.q, p.k, p.v, p.bias, p.sinks}, d,
                                       [&](const Tensors& inputs) { return expanded(p, shared, inputs); });
           }
           const Tensor d_out = d[0] ? d[0] : Tensor::zeros(out.shape(), out.dtype());
           const Tensor d_weights = d.size() > 1 ? d[1] : Tensor();
           const Tensor d_q = Tensor::empty(p.q.shape(), p.q.dtype());
           const Tensor d_k = shared && p.k.same_as(p.q) ? d_q : Tensor::empty(p.k.shape(), p.k.dtype());
           const Tensor d_v = shared && p.v.same_as(p.q)   ? d_q
                              : shared && p.v.same_as(p.k) ? d_k
                                                           : Tensor::empty(p.v.shape(), p.v.dtype());
           Tensor d_bias;
           if (p.bias && p.bias.requires_grad()) d_bias = Tensor::zeros(p.weights_shape, p.q.dtype());
           Tensor d_sinks;
           if (p.sinks && p.sinks.requires_grad()) d_sinks = Tensor::zeros(p.sinks.shape(), p.q.dtype());
           Tensors d_tables;
           if (p.scores) {
             for (const Tensor& x : p.scores->trained()) d_tables.push_back(Tensor::zeros(x.shape(), p.q.dtype()));
           }
           dispatch_float("attention", "q", p.q, [&](auto zero) {
             using T = decltype(zero);
             Gradients<T> g{d_q.data<T>(),
                            d_k.data<T>(),
                            d_v.data<T>(),
                            d_bias ? d_bias.data<T>() : nullptr,
                            d_out.data<T>(),
                            out.data<T>(),
                            rows,
                            d_weights ? weights.data<T>() : nullptr,
                            d_weights ? d_weights.data<T>() : nullptr,
                            d_sinks ? d_sinks.data<T>() : nullptr,
                            d_tables};
             attention_backward<T>(g, p);
           });
           accumulate(p.q, d_q);
           if (!d_k.same_as(d_q)) accumulate(p.k, d_k);
           if (!d_v.same_as(d_q) && !d_v.same_as(d_k)) accumulate(p.v, d_v);
           if (d_bias) accumulate(p.bias, sum_to_shape(d_bias, p.bias.shape()));
           if (d_sinks) accumulate(p.sinks, d_sinks);
           for (size_t n = 0; n < d_tables.size(); ++n) accumulate(p.scores->trained()[n], d_tables[n]);
         });
  return result;
}

Layout dense_layout(const Tensor& x) {  // (…, H, N, D)
  const Index row = x.dim(-1), head = row * x.dim(-2);
  return {0, x.rank() >= 3 ? head * x.dim(-3) : head, head, row};
}

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), checked.
Problem dense_problem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
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

// ---- sequences one after the other ----------------------------------------------------------------------------------

struct Sequences {
  std::vector<Index> q, k;  // where each begins, and where the last one ends
  Index count() const { return static_cast<Index>(q.size()) - 1; }
};

// body(sequence, its first query) for every sequence, a problem of its own within `all`; several a task while they are
// small. A large one is cut into tasks as it would be alone, so that it gives the same bits.
template <typename Body>
void for_sequences(const Problem& all, const Sequences& s, const Body& body) {
  std::vector<Index> first{0};  // sequence of each task
  Index work = 0;
  for (Index n = 0; n < s.count(); ++n) {
    const auto i = static_cast<size_t>(n);
    work += all.heads * (s.q[i + 1] - s.q[i]) * (s.k[i + 1] - s.k[i]) * (all.d + all.d_v) + 1;
    if (work < kTaskWork && n + 1 < s.count()) continue;
    first.push_back(n + 1);
    work = 0;
  }
  parallel_for(static_cast<Index>(first.size()) - 1, [&](Index task) {
    Problem one = all;
    one.batch = 1;
    one.q_offsets = Tensor();
    for (Index n = first[static_cast<size_t>(task)]; n < first[static_cast<size_t>(task) + 1]; ++n) {
      const auto i = static_cast<size_t>(n);
      one.first_batch = n;
      one.length = s.q[i + 1] - s.q[i], one.keys = s.k[i + 1] - s.k[i];
      one.q_layout.at = s.q[i] * one.q_layout.row;
      one.k_layout.at = s.k[i] * one.k_layout.row;
      one.v_layout.at = s.k[i] * one.v_layout.row;
      if (all.q_offsets) one.q_offset = all.q_offsets.data<std::int64_t>()[n];
      body(one, s.q[i]);
    }
  });
}

// The statistics of the sequences' rows lie one sequence after the other.
template <typename T>
RowStatistics<T> rows_from(RowStatistics<T> rows, Index first) {
  rows.max += first, rows.inverse += first;
  return rows;
}

}  // namespace

AttentionResult scaled_dot_product(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                                   bool return_weights) {
  const Problem p = dense_problem(q, k, v, options);
  Shape out_shape = q.shape();
  out_shape[-1] = p.d_v;
  return attend(p, out_shape, return_weights, false);
}

AttentionResult attend_heads(const HeadColumns& q, const HeadColumns& k, const HeadColumns& v, const HeadShape& shape,
                             const AttentionOptions& options, bool return_weights) {
  Problem p;
  p.q = q.source, p.k = k.source, p.v = v.source;
  p.batch = p.q.dim(0), p.heads = shape.heads, p.kv_heads = shape.kv_heads;
  p.length = p.q.dim(1), p.keys = p.k.dim(1), p.d = shape.head_dim, p.d_v = shape.value_dim;
  auto layout = [](const HeadColumns& x, Index head_dim) {
    return Layout{x.at, x.source.dim(1) * x.source.dim(2), head_dim, x.source.dim(2)};
  };
  p.q_layout = layout(q, p.d), p.k_layout = layout(k, p.d), p.v_layout = layout(v, p.d_v);
  const Index width = p.heads * p.d_v;
  p.out_layout = {0, p.length * width, p.d_v, width};
  p.weights_shape = {p.batch, p.heads, p.length, p.keys};
  apply_options(p, options, p.heads);
  return attend(p, {p.batch, p.length, width}, return_weights, true);
}

void attend_rows(const HeadRows& q, const HeadRows& k, const HeadRows& v, const HeadRows& out,
                 const AttentionSizes& sizes, const Shape& weights_shape, const AttentionOptions& options) {
  auto layout = [](const HeadRows& x) { return Layout{x.at, x.batch, x.head, x.row}; };
  Problem p;
  p.batch = sizes.batch, p.heads = sizes.heads, p.kv_heads = sizes.kv_heads;
  p.length = sizes.length, p.keys = sizes.keys, p.d = sizes.d, p.d_v = sizes.d_v;
  p.q = q.source, p.k = k.source, p.v = v.source;
  p.q_layout = layout(q), p.k_layout = layout(k), p.v_layout = layout(v), p.out_layout = layout(out);
  p.weights_shape = weights_shape;
  apply_options(p, options, p.heads);
  dispatch_float("attention", "q", p.q, [&](auto zero) {
    using T = decltype(zero);
    const Tensor rows = Tensor::empty({2, p.batch * p.heads * p.length}, p.q.dtype());
    attention_forward<T>(out.source.data<T>() + out.at, rows, nullptr, p);
  });
}

Tensor attend_sequences(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<Index>& q_starts,
                        const std::vector<Index>& k_starts, const AttentionOptions& options) {
  const Sequences s{q_starts, k_starts};
  Problem p;
  p.q = q, p.k = k, p.v = v;
  p.batch = s.count(), p.heads = q.dim(0), p.kv_heads = k.dim(0);
  p.length = q.dim(1), p.keys = k.dim(1), p.d = q.dim(2), p.d_v = v.dim(2);
  p.q_layout = dense_layout(q), p.k_layout = dense_layout(k), p.v_layout = dense_layout(v);
  p.out_layout = {0, 0, p.length * p.d_v, p.d_v};
  p.weights_shape = {p.batch, p.heads, p.length, p.keys};
  apply_options(p, options, p.heads);
  const Tensor out = Tensor::empty({p.heads, p.length, p.d_v}, q.dtype());
  const Tensor rows = Tensor::empty({2, p.heads * p.length}, q.dtype());
  dispatch_float("attention", "q", q, [&](auto zero) {
    using T = decltype(zero);
    for_sequences(p, s, [&](const Problem& one, Index first) {
      attention_forward<T>(out.data<T>() + first * p.d_v, rows_from<T>(rows, p.heads * first), nullptr, one);
    });
  });
  if (!needs_grad({&p.q, &p.k, &p.v})) return out;
  record("attention_packed", {p.q, p.k, p.v}, {out}, [p, s, rows, out = out.detach()](const Tensors& d) {
    // Without query heads nothing below writes to d_k and d_v.
    auto like = [&](const Tensor& x) {
      return p.heads == 0 ? Tensor::zeros(x.shape(), x.dtype()) : Tensor::empty(x.shape(), x.dtype());
    };
    const Tensor d_q = like(p.q), d_k = like(p.k), d_v = like(p.v);
    if (p.heads > 0) {
      dispatch_float("attention", "q", p.q, [&](auto zero) {
        using T = decltype(zero);
        for_sequences(p, s, [&](const Problem& one, Index first) {
          const Index at = first * p.d_v;
          const Gradients<T> g{d_q.data<T>(),
                               d_k.data<T>(),
                               d_v.data<T>(),
                               nullptr,
                               d[0].data<T>() + at,
                               out.data<T>() + at,
                               rows_from<T>(rows, p.heads * first),
                               nullptr,
                               nullptr};
          attention_backward<T>(g, one);
        });
      });
    }
    accumulate(p.q, d_q);
    accumulate(p.k, d_k);
    accumulate(p.v, d_v);
  });
  return out;
}

template <typename T>
void for_score_blocks(const Tensor& q, const Tensor& k, const AttentionOptions& options, const ScorePass<T>& pass) {
  const Problem p = dense_problem(q, k, k, options);
  std::uint64_t out_of_bounds = 0;
  for_query_blocks<T>(p, 0, [&](Index b, Index h, Index begin, Index end, T*, T* registers) {
    kernels::AttentionHead<T> head = head_of<T>(p, b, h, registers);
    head.d_v = 0;
    head.out_of_bounds = &out_of_bounds;
    pass(head, b * p.heads + h, begin, end);
  });
  if (out_of_bounds != 0) p.scores->out_of_bounds(out_of_bounds);
}
template void for_score_blocks<float>(const Tensor&, const Tensor&, const AttentionOptions&, const ScorePass<float>&);
template void for_score_blocks<double>(const Tensor&, const Tensor&, const AttentionOptions&, const ScorePass<double>&);

}  // namespace attendo

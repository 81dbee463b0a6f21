// Forward and backward of a call, cut into tasks for the kernels (formulas: scaled_dot_product.cpp). For the files of this
// folder.
#pragma once

#include "attention/problem.h"
#include "core/cost.h"

namespace attendo::blocked {

constexpr Index kBackwardTasks = 8;  // key ranges are cut until there are so many

// What backward needs of each row, besides the output: two numbers (see kernels/attention.h).
template <typename T>
struct RowStatistics {
  T *max, *inverse;
  RowStatistics(const Tensor& saved) : max(saved.data<T>()), inverse(max + saved.size() / 2) {}
};

// weights: (B, H, L, S), or null.
template <typename T>
void attention_forward(T* out, const RowStatistics<T>& rows, T* weights, const Problem& p) {
  count_multiply_adds(p.batch * p.heads * p.work());
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
  Tensors d_tables{};            // of the score program's tables that want one, zeroed
  const T* delta = nullptr;      // (B, H, L): D where it is known already
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
        // A sink of -inf is none, and there may be nothing else: -inf - (-inf).
        const T share = std::isinf(sink) && sink < 0 ? T(0) : std::exp2(sink - rows.max[i]) * rows.inverse[i];
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
  count_multiply_adds(p.batch * p.heads * p.length * p.keys * (3 * p.d + 2 * p.d_v));
  Scratch<T> own_delta(static_cast<size_t>(g.delta != nullptr ? 0 : p.batch * p.heads * p.length));
  if (g.delta == nullptr) row_delta(own_delta.get(), g, p);
  const T* delta = g.delta != nullptr ? g.delta : own_delta.get();
  if (g.d_sinks != nullptr) sink_gradient(g.d_sinks, delta, g.rows, p);

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
      one.delta = delta + bh * p.length;
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

}  // namespace attendo::blocked

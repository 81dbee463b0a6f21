// What lstm and gru share: sizes, checks, and the walk through time.
//
// A task owns a few samples through all time steps, so that no thread waits for another between steps. It works in
// chunks of time: one product for the inputs of a chunk, then step by step the recurrent product and the gates; the
// rows of a chunk stay in the second-level cache. Gates are padded to whole vectors, each with zeros behind it.
//
// What is kept lies as it is walked over: a task's rows one after the other, step by step, and in a step sample by sample
// ("walk order" below), for rows a power of two apart would take each other's place in the cache.
#pragma once

#include <algorithm>

#include "core/autograd.h"
#include "core/cost.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "kernels/gemm.h"
#include "kernels/recurrent.h"
#include "ops/arithmetic.h"
#include "ops/gemm.h"
#include "ops/shape.h"

namespace attendo {

struct RecurrentSizes {
  Index batch = 0, length = 0, in = 0, units = 0;
  Index gates = 0;   // of the weights: 4 or 3
  Index kept = 0;    // values of a unit that a step keeps for backward
  Index padded = 0;  // units, rounded up to whole vectors
  bool reverse = false;
  Tensor lengths;  // (B,) int64, or undefined

  // Of all samples.
  Index steps() const {
    Index sum = lengths ? 0 : batch * length;
    for (Index i = 0; lengths && i < batch; ++i) sum += *length_of(i);
    return sum;
  }
  const std::int64_t* length_of(Index sample) const {
    return lengths ? lengths.data<std::int64_t>() + sample : nullptr;
  }
};

// Checks everything but the states; the error names `op`.
inline RecurrentSizes recurrent_sizes(const char* op, Index gates, const Tensor& x, const Tensor& weight_ih,
                                      const Tensor& weight_hh, const Tensor& bias_ih, const Tensor& bias_hh,
                                      const Tensor& lengths, bool reverse) {
  check_float(op, "x", x);
  check_rank(op, "x", x, 3, "(B, S, in)");
  const std::pair<const char*, const Tensor*> others[] = {
      {"weight_ih", &weight_ih}, {"weight_hh", &weight_hh}, {"bias_ih", &bias_ih}, {"bias_hh", &bias_hh}};
  for (const auto& [name, tensor] : others) {
    if (!tensor->defined() && name[0] == 'b') continue;
    check_float(op, name, *tensor);
    check_same_dtype(op, name, *tensor, "x", x);
  }
  RecurrentSizes s;
  s.batch = x.dim(0), s.length = x.dim(1), s.in = x.dim(2);
  s.gates = gates, s.reverse = reverse;
  check_rank(op, "weight_hh", weight_hh, 2, gates == 4 ? "(4 H, H)" : "(3 H, H)");
  s.units = weight_hh.dim(1);
  check_shape(op, "weight_hh", weight_hh, {gates * s.units, s.units});
  check_rank(op, "weight_ih", weight_ih, 2, gates == 4 ? "(4 H, in)" : "(3 H, in)");
  if (weight_ih.dim(1) != s.in) {
    value_error(op, ": x has ", s.in, " features but weight_ih expects ", weight_ih.dim(1));
  }
  check_shape(op, "weight_ih", weight_ih, {gates * s.units, s.in});
  if (bias_ih) check_shape(op, "bias_ih", bias_ih, {gates * s.units});
  if (bias_hh) check_shape(op, "bias_hh", bias_hh, {gates * s.units});
  if (lengths) {
    if (lengths.dtype() != DType::kInt64) {
      type_error(op, ": lengths has dtype ", dtype_name(lengths.dtype()), " but must be int64");
    }
    check_shape(op, "lengths", lengths, {s.batch});
    for (Index i = 0; i < s.batch; ++i) {
      const std::int64_t n = lengths.data<std::int64_t>()[i];
      if (n < 0 || n > s.length) {
        value_error(op, ": lengths holds ", n, " but must hold 0 to ", s.length, ", the length of x");
      }
    }
    s.lengths = lengths.clone();  // they were checked, and assign could change them before backward runs
  }
  return s;
}

inline void check_state(const char* op, const char* arg, const Tensor& state, const Tensor& x, Index units) {
  if (!state) return;
  check_float(op, arg, state);
  check_same_dtype(op, arg, state, "x", x);
  check_shape(op, arg, state, {x.dim(0), units});
}

template <typename T>
void set_padding(RecurrentSizes& s) {
  const Index lanes = kernels::recurrent_kernels<T>().lanes;
  s.padded = (s.units + lanes - 1) / lanes * lanes;
}

// (gates · units, n) -> (gates · padded, n), zeros between.
template <typename T>
Scratch<T> pad_gates(const T* x, Index gates, const RecurrentSizes& s, Index n) {
  Scratch<T> out(static_cast<size_t>(gates * s.padded * n));
  std::fill_n(out.get(), gates * s.padded * n, T(0));
  for (Index g = 0; x != nullptr && g < gates; ++g) {
    std::copy_n(x + g * s.units * n, s.units * n, out.get() + g * s.padded * n);
  }
  return out;
}

// A matrix packed once for the many products of all tasks: b (k, n), or its transpose where `transposed`.
template <typename T>
struct Packed {
  Packed(const T* b, Index k_, Index n_, bool transposed)
      : k(k_), n(n_), data(static_cast<size_t>(kernels::packed_size<T>(k_, n_))) {
    if (n == 0) return;
    parallel_ranges(k, std::max<Index>(16, 65536 / n / 16 * 16), [&](Index begin, Index end) {
      kernels::gemm_kernels<T>().pack_b(data.get(), b, transposed ? 1 : n, transposed ? k : 1, k, n, begin, end);
    });
  }
  Index k, n;
  Scratch<T> data;

  // c (m, n) = a · b  (+ c)  (+ bias)
  void multiply(Index m, const T* a, Index a_row, T* c, Index c_row, bool add, const T* bias = nullptr) const {
    if (n == 0) return;
    kernels::GemmTask<T> task;
    task.m = m, task.n = n, task.k = k;
    task.a = a, task.a_row = a_row, task.a_col = 1;
    task.b = data.get();
    task.c = c, task.c_row = c_row;
    task.add = add, task.bias = bias;
    kernels::gemm_kernels<T>().run(task);
  }
};

// The samples of one task, and its chunks of time.
struct RecurrentSlice {
  Index first, rows;
  Index steps;  // of its longest sample

  // Enough samples to use the weights well each time they are read; by the size of the batch alone.
  static Index rows_of(Index batch) {
    return batch > 16 ? 16 : batch > 4 ? (batch + 1) / 2 : std::max<Index>(1, batch);
  }
  static Index count(Index batch) { return (batch + rows_of(batch) - 1) / rows_of(batch); }

  // The row of the first sample's step t in walk order.
  Index row_of(const RecurrentSizes& s, Index t) const { return first * s.length + t * rows; }

  RecurrentSlice(const RecurrentSizes& s, Index task)
      : first(task * rows_of(s.batch)), rows(std::min(rows_of(s.batch), s.batch - first)), steps(s.length) {
    if (s.lengths) steps = static_cast<Index>(*std::max_element(s.length_of(first), s.length_of(first) + rows));
  }
};

// Steps whose gates fit in the second-level cache, a multiple of the micro-tile's rows.
inline Index recurrent_chunk(const RecurrentSizes& s, size_t element) {
  const Index row = std::max<Index>(1, s.kept * s.padded * static_cast<Index>(element));
  const Index fit = (Index{384} << 10) / (row * RecurrentSlice::rows_of(s.batch));
  return std::clamp<Index>(fit / 6 * 6, 6, 48);
}

template <typename T>
struct RecurrentForward {
  const T* x;
  const T* bias;       // (gates · padded,): what is added to the inputs' product
  const T *h_0, *c_0;  // (B, units), or null for zeros
  T* gates;            // (B · S, kept · padded) in walk order, or null: nothing is kept
  T *kept_h, *kept_c;  // (B · S, padded) in walk order: the states before each step, or null
  T *out, *h_n, *c_n;  // c_0, kept_c and c_n only with `cell`
  bool cell;
};

template <typename T>
void load_state(T* state, const T* from, const RecurrentSizes& s, const RecurrentSlice& slice) {
  std::fill_n(state, slice.rows * s.padded, T(0));
  for (Index i = 0; from != nullptr && i < slice.rows; ++i) {
    std::copy_n(from + (slice.first + i) * s.units, s.units, state + i * s.padded);
  }
}
template <typename T>
void store_state(T* to, const T* state, const RecurrentSizes& s, const RecurrentSlice& slice) {
  for (Index i = 0; to != nullptr && i < slice.rows; ++i) {
    std::copy_n(state + i * s.padded, s.units, to + (slice.first + i) * s.units);
  }
}

// body(kernels::RecurrentStep<T>) for each step in its turn, when the inputs' product lies in its gates.
template <typename T, typename Body>
void recurrent_forward(const RecurrentSizes& s, const RecurrentForward<T>& f, const Packed<T>& weight_ih,
                       const Body& body) {
  count_multiply_adds(s.steps() * s.gates * s.units * (s.in + s.units));
  parallel_for(RecurrentSlice::count(s.batch), [&](Index task) {
    const RecurrentSlice slice(s, task);
    const Index chunk = recurrent_chunk(s, sizeof(T));
    const Index width = s.kept * s.padded;
    Scratch<T> own(static_cast<size_t>(f.gates == nullptr ? slice.rows * chunk * width : 0));
    Scratch<T> h(static_cast<size_t>(slice.rows * s.padded)), c(static_cast<size_t>(slice.rows * s.padded));
    load_state(h.get(), f.h_0, s, slice);
    load_state(c.get(), f.c_0, s, slice);
    for (Index done = 0; done < slice.steps; done += chunk) {
      const Index steps = std::min(chunk, slice.steps - done);
      const Index begin = s.reverse ? slice.steps - done - steps : done;
      T* gates = f.gates == nullptr ? own.get() : f.gates + slice.row_of(s, begin) * width;
      for (Index i = 0; i < slice.rows; ++i) {
        weight_ih.multiply(steps, f.x + ((slice.first + i) * s.length + begin) * s.in, s.in, gates + i * width,
                           slice.rows * width, false, f.bias);
      }
      for (Index k = 0; k < steps; ++k) {
        const Index t = s.reverse ? begin + steps - 1 - k : begin + k;
        const Index at = slice.row_of(s, t);
        kernels::RecurrentStep<T> step;
        step.rows = slice.rows, step.units = s.units, step.padded = s.padded;
        step.lengths = s.length_of(slice.first), step.position = t;
        step.gates = gates + (t - begin) * slice.rows * width, step.gates_row = width;
        step.h = h.get(), step.c = c.get();
        if (f.kept_h != nullptr) step.kept_h = f.kept_h + at * s.padded;
        if (f.kept_c != nullptr) step.kept_c = f.kept_c + at * s.padded;
        step.kept_row = s.padded;
        step.out = f.out + (slice.first * s.length + t) * s.units, step.out_row = s.length * s.units;
        body(step);
      }
    }
    // Nobody takes the steps after the longest sample.
    for (Index i = slice.first; i < slice.first + slice.rows; ++i) {
      const Index at = i * s.length + slice.steps, left = s.length - slice.steps;
      std::fill_n(f.out + at * s.units, left * s.units, T(0));
    }
    if (f.kept_h != nullptr) {
      const Index at = slice.row_of(s, slice.steps), left = slice.rows * (s.length - slice.steps);
      std::fill_n(f.kept_h + at * s.padded, left * s.padded, T(0));
      std::fill_n(f.gates + at * width, left * width, T(0));
    }
    store_state(f.h_n, h.get(), s, slice);
    if (f.cell) store_state(f.c_n, c.get(), s, slice);
  });
}

template <typename T>
struct RecurrentBackward {
  const T *d_out, *d_h_n, *d_c_n;  // null where nothing flows back
  const T* gates;                  // in walk order, like all down to d_gates
  const T *kept_h, *kept_c;
  T* d_gates;  // (B · S, d_width)
  Index d_width;
  T* d_bias;               // (d_width,): Σ d_gates over samples and steps
  T *d_x, *d_h_0, *d_c_0;  // or null
};

// body(kernels::RecurrentStepBackward<T>) for each step, the last first.
template <typename T, typename Body>
void recurrent_backward(const RecurrentSizes& s, const RecurrentBackward<T>& b, const Packed<T>* weight_ih,
                        const Body& body) {
  const Index tasks = RecurrentSlice::count(s.batch);
  count_multiply_adds(s.steps() * s.gates * s.units * ((b.d_x == nullptr ? 0 : s.in) + s.units));
  const Scratch<T> sums(static_cast<size_t>(2 * tasks * b.d_width));
  std::fill_n(sums.get(), 2 * tasks * b.d_width, T(0));
  parallel_for(tasks, [&](Index task) {
    const RecurrentSlice slice(s, task);
    const Index chunk = recurrent_chunk(s, sizeof(T));
    const Index width = s.kept * s.padded;
    T* total = sums.get() + 2 * task * b.d_width;
    T* of_chunk = total + b.d_width;  // the sums of chunks are added: see column_sum
    Scratch<T> d_h(static_cast<size_t>(slice.rows * s.padded)), d_c(static_cast<size_t>(slice.rows * s.padded));
    load_state(d_h.get(), b.d_h_n, s, slice);
    load_state(d_c.get(), b.d_c_n, s, slice);
    for (Index done = 0; done < slice.steps; done += chunk) {
      const Index steps = std::min(chunk, slice.steps - done);
      const Index begin = s.reverse ? done : slice.steps - done - steps;
      for (Index k = 0; k < steps; ++k) {
        const Index t = s.reverse ? begin + k : begin + steps - 1 - k;
        const Index at = slice.row_of(s, t);
        kernels::RecurrentStepBackward<T> step;
        step.rows = slice.rows, step.units = s.units, step.padded = s.padded;
        step.lengths = s.length_of(slice.first), step.position = t;
        step.gates = b.gates + at * width, step.gates_row = width;
        if (b.kept_h != nullptr) step.kept_h = b.kept_h + at * s.padded;
        if (b.kept_c != nullptr) step.kept_c = b.kept_c + at * s.padded;
        step.kept_row = s.padded;
        if (b.d_out != nullptr) step.d_out = b.d_out + (slice.first * s.length + t) * s.units;
        step.d_out_row = s.length * s.units;
        step.d_gates = b.d_gates + at * b.d_width, step.d_gates_row = b.d_width;
        step.d_bias = of_chunk;
        step.d_h = d_h.get(), step.d_c = d_c.get();
        if (done + k + 1 < slice.steps) {
          const Index next = s.reverse ? 1 : -1;
          step.gates_next = next * slice.rows * width, step.kept_next = next * slice.rows * s.padded;
          step.d_out_next = next * s.units;
        }
        body(step);
      }
      for (Index j = 0; j < b.d_width; ++j) total[j] += of_chunk[j];
      std::fill_n(of_chunk, b.d_width, T(0));
      for (Index i = 0; b.d_x != nullptr && i < slice.rows; ++i) {
        const Index at = (slice.first + i) * s.length + begin;
        weight_ih->multiply(steps, b.d_gates + (slice.row_of(s, begin) + i) * b.d_width, slice.rows * b.d_width,
                            b.d_x + at * s.in, s.in, false);
      }
    }
    for (Index i = slice.first; b.d_x != nullptr && i < slice.first + slice.rows; ++i) {
      std::fill_n(b.d_x + (i * s.length + slice.steps) * s.in, (s.length - slice.steps) * s.in, T(0));
    }
    std::fill_n(b.d_gates + slice.row_of(s, slice.steps) * b.d_width, slice.rows * (s.length - slice.steps) * b.d_width,
                T(0));
    store_state(b.d_h_0, d_h.get(), s, slice);
    store_state(b.d_c_0, d_c.get(), s, slice);
  });
  std::fill_n(b.d_bias, b.d_width, T(0));
  for (Index task = 0; task < tasks; ++task) {
    const T* sum = sums.get() + 2 * task * b.d_width;
    for (Index j = 0; j < b.d_width; ++j) b.d_bias[j] += sum[j];
  }
}

// x (B · S, in) in walk order, with zeros behind the end of each sample: there it may hold anything, and 0 · NaN is NaN.
template <typename T>
Scratch<T> ordered_inputs(const Tensor& x, const RecurrentSizes& s) {
  Scratch<T> out(static_cast<size_t>(x.size()));
  const T* from = x.data<T>();
  const Index tasks = RecurrentSlice::count(s.batch), grain = rows_per_task(s.in * RecurrentSlice::rows_of(s.batch));
  const Index pieces = (s.length + grain - 1) / grain;
  parallel_for(tasks * pieces, [&](Index task) {
    const RecurrentSlice slice(s, task / pieces);
    const Index begin = task % pieces * grain, end = std::min(s.length, begin + grain);
    T* to = out.get() + slice.row_of(s, begin) * s.in;
    for (Index t = begin; t < end; ++t) {
      for (Index i = slice.first; i < slice.first + slice.rows; ++i, to += s.in) {
        if (s.lengths && t >= *s.length_of(i)) {
          std::fill_n(to, s.in, T(0));
        } else {
          std::copy_n(from + (i * s.length + t) * s.in, s.in, to);
        }
      }
    }
  });
  return out;
}

// d_weight rows of `gates` gates (+)= d_gatesᵀ · y over all samples and steps, which lie in the same order in both. d_gates
// is (B · S, d_width) from the column of its first gate on, y is (B · S, n) in rows of y_row.
//
// The sum is so long and its result so small that it is cut into shards, added in order, as large as they can be.
template <typename T>
void recurrent_weight_gradient(const RecurrentSizes& s, T* d_weight, bool add, const T* d_gates, Index d_width,
                               Index gates, const T* y, Index y_row, Index n) {
  constexpr Index kShardWork = 12000000;
  constexpr Index kRows = 96;  // of the result a task; a multiple of the micro-tile's
  const auto& kernel = kernels::gemm_kernels<T>();
  count_multiply_adds(s.steps() * gates * s.units * n);
  const Index depth = s.batch * s.length, rows = gates * s.padded, size = rows * n;
  const Shards shards(depth, std::max<Index>(256, kShardWork / std::max<Index>(1, size)));
  const bool direct = n % kernel.lanes == 0 && n <= 256;
  const Scratch<T> packed(static_cast<size_t>(direct ? 0 : kernels::packed_size<T>(depth, n)));
  const Scratch<T> partial(static_cast<size_t>(shards.count * size));
  if (!direct) {
    // Each shard by itself.
    parallel_for(shards.count, [&](Index shard) {
      const Index first = shard * shards.rows, k = std::min(shards.rows, depth - first);
      kernel.pack_b(packed.get() + kernels::packed_size<T>(first, n), y + first * y_row, y_row, 1, k, n, 0, k);
    });
  }
  const Index blocks = (rows + kRows - 1) / kRows;
  parallel_for(shards.count * blocks, [&](Index task) {
    const Index shard = task / blocks, row = task % blocks * kRows, first = shard * shards.rows;
    kernels::GemmTask<T> t;
    t.m = std::min(kRows, rows - row), t.n = n, t.k = std::min(shards.rows, depth - first);
    t.a = d_gates + first * d_width + row, t.a_row = 1, t.a_col = d_width;
    t.b = direct ? y + first * y_row : packed.get() + kernels::packed_size<T>(first, n);
    t.b_row = direct ? y_row : 0;
    t.c = partial.get() + shard * size + row * n, t.c_row = n;
    if (n > 0) kernel.run(t);
  });
  parallel_ranges(gates * s.units, std::max<Index>(1, 32768 / std::max<Index>(1, n)), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* out = d_weight + i * n;
      const T* sum = partial.get() + (i / s.units * s.padded + i % s.units) * n;
      for (Index j = 0; j < n; ++j) out[j] = add ? out[j] + sum[j] : sum[j];
      for (Index shard = 1; shard < shards.count; ++shard) {
        for (Index j = 0; j < n; ++j) out[j] += sum[shard * size + j];
      }
    }
  });
}

inline bool needs_bias_gradient(const Tensor& bias) { return bias && bias.requires_grad(); }

// The gradient of gate `gate` of a bias (gates · units,).
template <typename T>
void add_bias_gradient(const GradTarget& target, Index gate, const T* d_gate, const RecurrentSizes& s) {
  if (!target.buffer) return;
  T* out = target.buffer.data<T>() + gate * s.units;
  for (Index j = 0; j < s.units; ++j) out[j] = target.add ? out[j] + d_gate[j] : d_gate[j];
}

// The walk through time in differentiable operations: step(x_t (B, in), states) gives the next states (B, H), of which the
// first is the output of that step. -> out (B, S, H), then the last states.
template <typename Step>
Tensors recurrent_expanded(const RecurrentSizes& s, const Tensor& x, Tensors states, const Step& step) {
  for (Tensor& state : states) {
    if (!state) state = Tensor::zeros({s.batch, s.units}, x.dtype());
  }
  // Whether position t of a sample is before its end, or behind it.
  auto before_end = [&](Index first, Index last, Index n, bool before) {
    const Tensor out = Tensor::empty({s.batch, last - first, n}, DType::kBool);
    for (Index i = 0; i < out.size(); ++i) {
      const bool inside = first + i / n % (last - first) < *s.length_of(i / n / (last - first));
      out.data<bool>()[i] = inside == before;
    }
    return out;
  };
  const Tensor in = s.lengths ? select(x, before_end(0, s.length, s.in, true)) : x;
  Tensors outs(static_cast<size_t>(s.length));
  for (Index i = 0; i < s.length; ++i) {
    const Index t = s.reverse ? s.length - 1 - i : i;
    Tensors next = step(reshape(take(in, 1, t, t + 1), {s.batch, s.in}), states);
    Tensor out = next[0];
    if (s.lengths) {
      const Shape shape{s.batch, s.units};
      const Tensor inside = before_end(t, t + 1, s.units, true).view(shape);
      const Tensor behind = before_end(t, t + 1, s.units, false).view(shape);
      out = select(out, inside);
      for (size_t k = 0; k < next.size(); ++k) next[k] = add(select(next[k], inside), select(states[k], behind));
    }
    states = std::move(next);
    outs[static_cast<size_t>(t)] = reshape(out, {s.batch, 1, s.units});
  }
  states.insert(states.begin(), outs.empty() ? Tensor::zeros({s.batch, 0, s.units}, x.dtype()) : concatenate(outs, 1));
  return states;
}

template <typename T>
T* data_or_none(const Tensor& x) {
  return x ? x.data<T>() : nullptr;
}

}  // namespace attendo

#include "ops/gemm.h"

#include "core/cost.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "kernels/gemm.h"
#include "kernels/gemv.h"

namespace attendo {
namespace {

constexpr Index kTaskWork = 400000;    // multiply-adds that are worth a task
constexpr Index kDirectColumns = 256;  // up to here a row-major B is read in place
constexpr Index kDotRows = 64;         // up to so many rows, and an eighth of their length, B is read as it lies

template <typename T>
kernels::GemmTask<T> task_of(const Gemm<T>& g) {
  kernels::GemmTask<T> task;
  task.m = g.m, task.n = g.n, task.k = g.k;
  task.a = g.a, task.a_row = g.a_row, task.a_col = g.a_col;
  task.c = g.c, task.c_row = g.c_row;
  task.add = g.add, task.bias = g.bias;
  task.epilogue = g.epilogue;
  task.columns = g.n;
  return task;
}

// The epilogue on rows that are complete.
template <typename T>
void finish_rows(const Gemm<T>& g, Index begin, Index end) {
  if (!g.epilogue.active() && g.epilogue.activation == Activation::kNone) return;
  kernels::GemmTask<T> task = task_of(g);
  task.row = begin, task.m = end - begin;
  task.c = g.c + begin * g.c_row;
  kernels::gemm_kernels<T>().finish(task);
}

template <typename T>
void run_blocks(const Gemm<T>& g) {
  const auto& kernel = kernels::gemm_kernels<T>();
  const bool direct = g.b_col == 1 && g.n % kernel.lanes == 0 && g.n <= kDirectColumns && g.b_row > 0;
  Scratch<T> packed(direct ? 0 : static_cast<size_t>(kernels::packed_size<T>(g.k, g.n)));
  if (!direct) {
    const Index grain = std::max<Index>(16, 65536 / g.n / 16 * 16);
    parallel_ranges(g.k, grain, [&](Index begin, Index end) {
      kernel.pack_b(packed.get(), g.b, g.b_row, g.b_col, g.k, g.n, begin, end);
    });
  }
  // Rows a task: a multiple of the tile's six, few enough that a task's part of A stays in the second-level cache.
  const Index columns = std::min<Index>(g.n, 512 / kernel.panel * kernel.panel);
  const Index rows = std::clamp<Index>(kTaskWork / std::max<Index>(1, columns * g.k) / 6 * 6, 24, 240);
  const Index row_tasks = (g.m + rows - 1) / rows;
  const Index column_tasks = (g.n + columns - 1) / columns;
  const bool copy_rows = g.a_row == 1 && g.n >= kernel.panel && g.a_col > kernels::kGemmRowBlock;
  parallel_for(row_tasks * column_tasks, [&](Index index) {
    const Index i = index / column_tasks * rows;
    const Index j = index % column_tasks * columns;
    kernels::GemmTask<T> task = task_of(g);
    task.row = i, task.column = j;
    task.m = std::min(rows, g.m - i);
    task.n = std::min(columns, g.n - j);
    task.a = g.a + i * g.a_row;
    task.c = g.c + i * g.c_row + j;
    if (g.bias != nullptr) task.bias = g.bias + j;
    task.b = direct ? g.b + j : packed.get() + j * g.k;
    task.b_row = direct ? g.b_row : 0;
    if (!copy_rows) {
      kernel.run(task);
      return;
    }
    const Scratch<T> copy(static_cast<size_t>(kernels::packed_rows_size<T>(task.m, g.k)));
    task.a_scratch = copy.get();
    kernel.run(task);
  });
}

// A long sum for few outputs (a weight's gradient): the depth is cut into shards, whose sums are added in order.
template <typename T>
void run_shards(const Gemm<T>& g, const Shards& shards) {
  const Index size = g.m * g.n;
  Scratch<T> partial(static_cast<size_t>(shards.count * size));
  parallel_for(shards.count, [&](Index shard) {
    const Index p = shard * shards.rows;
    Gemm<T> part = g;
    part.k = std::min(shards.rows, g.k - p);
    part.a = g.a + p * g.a_col;
    part.b = g.b + p * g.b_row;
    part.c = partial.get() + shard * size;
    part.c_row = g.n;
    part.add = false, part.bias = nullptr, part.epilogue = {};
    run_blocks(part);
  });
  const auto add_into = kernels::gemm_kernels<T>().add_into;
  parallel_ranges(g.m, std::max<Index>(1, 32768 / g.n), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* c = g.c + i * g.c_row;
      if (!g.add) std::copy_n(partial.get() + i * g.n, g.n, c);
      for (Index shard = g.add ? 0 : 1; shard < shards.count; ++shard) {
        add_into(c, partial.get() + shard * size + i * g.n, g.n);
      }
      if (g.bias != nullptr) add_into(c, g.bias, g.n);
    }
    finish_rows(g, begin, end);
  });
}

}  // namespace

template <typename T>
void gemm(const Gemm<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  count_multiply_adds(g.m * g.n * g.k);
  if (g.m <= std::clamp<Index>(g.k / 8, 4, kDotRows) && g.b_row == 1 && g.a_col == 1 && g.k > 0) {
    parallel_ranges(g.n, gemv_columns(g.m, g.k), [&](Index begin, Index end) {
      kernels::GemvTask<T> task;
      task.m = g.m, task.n = end - begin, task.k = g.k;
      task.x = g.a, task.x_row = g.a_row;
      task.w = g.b + begin * g.b_col, task.w_row = g.b_col;
      task.y = g.c + begin, task.y_row = g.c_row;
      task.add = g.add;
      task.bias = g.bias == nullptr ? nullptr : g.bias + begin;
      kernels::gemv_kernels<T>().run(task);
    });
    finish_rows(g, 0, g.m);
    return;
  }
  const Index outputs = g.m * g.n;
  if (g.k >= 512 && outputs <= 128 * 512) {
    const Shards shards(g.k, std::max<Index>(256, kTaskWork / outputs));
    if (shards.count > 1) {
      run_shards(g, shards);
      return;
    }
  }
  run_blocks(g);
}

template <typename T>
void finish_rows(T* y, Index rows, Index n, Activation activation) {
  Gemm<T> g;
  g.m = rows, g.n = n;
  g.c = y, g.c_row = n;
  g.epilogue.activation = activation;
  finish_rows(g, 0, rows);
}

template void finish_rows(float*, Index, Index, Activation);
template void finish_rows(double*, Index, Index, Activation);

template void gemm(const Gemm<float>&);
template void gemm(const Gemm<double>&);

template <typename T>
void column_sum(T* out, const T* x, Index rows, Index n, bool add) {
  if (n == 0) return;
  const Shards shards(rows, std::max<Index>(1, 32768 / n));
  Scratch<T> partial(static_cast<size_t>(shards.count * n));
  parallel_for(shards.count, [&](Index shard) {
    T* sum = partial.get() + shard * n;
    std::fill_n(sum, n, T(0));
    Scratch<T> block(static_cast<size_t>(n));
    const Index first = shard * shards.rows;
    kernels::gemm_kernels<T>().column_sum(sum, block.get(), x + first * n, std::min(rows - first, shards.rows), n);
  });
  if (!add) std::fill_n(out, n, T(0));
  for (Index shard = 0; shard < shards.count; ++shard) {
    const T* sum = partial.get() + shard * n;
    for (Index j = 0; j < n; ++j) out[j] += sum[j];
  }
}

template void column_sum(float*, const float*, Index, Index, bool);
template void column_sum(double*, const double*, Index, Index, bool);

}  // namespace attendo

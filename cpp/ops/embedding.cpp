// Embedding: a row of a table for each id
//
//   forward    y_i  = W[id_i]
//   backward   dW_v = Σ_{i: id_i = v} dy_i      (rows equal to padding_idx: 0)
//
// ids: (n,).  W, dW: (V, d).  y, dy: (n, d).   Article 004 §3.2.
//
// Backward groups the positions by id, so that each row of dW has one owner and its sum one order. A new dW is written
// once, zeros and sums together; one that is there already is touched only in the rows used; a sparse one has no others.
#include "ops/embedding.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/tables.h"
#include "ops/linear_int8.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kWork = 8;  // multiply-adds that an element fetched from anywhere is counted for

template <typename T>
void embedding_forward(T* y, const std::int64_t* ids, const T* weight, Index n, Index d) {
  parallel_ranges(n, rows_per_task(kWork * d), [=](Index begin, Index end) {
    kernels::table_kernels<T>().gather_rows(y + begin * d, weight, ids + begin, end - begin, d);
  });
}

// The groups' sums at rows `out_row` of out, or one after the other.
template <typename T>
void sum_groups(T* out, const std::int64_t* out_row, const RowGroups& groups, const T* x, const std::int64_t* index,
                const T* weight, Index d, bool add) {
  const Index count = groups.count();
  const Index work = kWork * d * (1 + groups.positions() / std::max<Index>(1, count));
  parallel_ranges(count, rows_per_task(work), [&](Index begin, Index end) {
    kernels::table_kernels<T>().sum_rows(out_row == nullptr ? out + begin * d : out,
                                         out_row == nullptr ? nullptr : out_row + begin, x, index, weight,
                                         groups.start.data<std::int64_t>() + begin, end - begin, d, add);
  });
}

template <typename T>
void fill_table(T* out, Index vocabulary, const RowGroups& groups, const T* x, const std::int64_t* index,
                const T* weight, Index d) {
  const std::int64_t *ids = groups.ids.data<std::int64_t>(), *ids_end = ids + groups.count();
  const Index work = d * (1 + groups.positions() / std::max<Index>(1, vocabulary));
  parallel_ranges(vocabulary, rows_per_task(work), [&](Index begin, Index end) {
    const Index first = std::lower_bound(ids, ids_end, begin) - ids, last = std::lower_bound(ids, ids_end, end) - ids;
    kernels::table_kernels<T>().fill_rows(out, begin, end, ids + first, x, index, weight,
                                          groups.start.data<std::int64_t>() + first, last - first, d);
  });
}

}  // namespace

Tensor gather_rows(const Tensor& x, const Tensor& ids) {
  const Index n = ids.size(), d = x.dim(1);
  const Tensor y = Tensor::empty({n, d}, x.dtype());
  dispatch_float("gather_rows", "x", x, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t* id = ids.data<std::int64_t>();
    parallel_ranges(n, rows_per_task(kWork * d), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        T* row = y.data<T>() + i * d;
        id[i] < 0 ? std::fill_n(row, d, T(0)) : std::copy_n(x.data<T>() + id[i] * d, d, row);
      }
    });
  });
  if (!needs_grad({&x})) return y;
  record("gather_rows", {x}, {y}, Twice::kYes,
         [x, ids](const Tensors& g) { accumulate(x, scatter_rows(g[0], ids, x.dim(0))); });
  return y;
}

Tensor scatter_rows(const Tensor& y, const Tensor& ids, Index rows) {
  const Index n = ids.size(), d = y.dim(1);
  const Tensor x = Tensor::empty({rows, d}, y.dtype());
  const RowGroups groups = group_rows(ids.data<std::int64_t>(), n, rows);
  dispatch_float("scatter_rows", "y", y, [&](auto zero) {
    using T = decltype(zero);
    fill_table<T>(x.data<T>(), rows, groups, y.data<T>(), groups.order.data<std::int64_t>(), nullptr, d);
  });
  if (!needs_grad({&y})) return x;
  record("scatter_rows", {y}, {x}, Twice::kYes, [y, ids](const Tensors& g) { accumulate(y, gather_rows(g[0], ids)); });
  return x;
}

void check_ids(const char* op, const char* arg, const Tensor& ids, Index rows, const char* table, Index lowest) {
  check_defined(op, arg, ids);
  if (ids.dtype() != DType::kInt64) {
    type_error(op, ": ", arg, " has dtype ", dtype_name(ids.dtype()), " but must be int64");
  }
  const std::int64_t* id = ids.data<std::int64_t>();
  for (Index i = 0; i < ids.size(); ++i) {
    if (id[i] < lowest || id[i] >= rows) {
      value_error(op, ": ", arg, " holds ", id[i], " but must hold ", lowest, " to ", rows - 1, " (", table, " has ",
                  rows, " rows)");
    }
  }
}

void accumulate_groups(const Tensor& table, const RowGroups& groups, const Tensor& x, const std::int64_t* index,
                       const Tensor& weight, bool sparse) {
  if (!table.requires_grad()) return;
  dispatch_float("embedding", "weight", table, [&](auto zero) {
    using T = decltype(zero);
    const Index d = table.dim(1);
    const T* factor = weight ? weight.data<T>() : nullptr;
    if (sparse && keeps_rows(table)) {
      const Tensor rows = Tensor::empty({groups.order.size(), d}, table.dtype()).rows(0, groups.count());
      sum_groups<T>(rows.data<T>(), nullptr, groups, x.data<T>(), index, factor, d, false);
      accumulate_rows(table, {groups.ids, rows});
      return;
    }
    const GradTarget target = grad_target(table);
    T* out = target.buffer.data<T>();
    if (target.add) {
      sum_groups<T>(out, groups.ids.data<std::int64_t>(), groups, x.data<T>(), index, factor, d, true);
    } else {
      fill_table<T>(out, table.dim(0), groups, x.data<T>(), index, factor, d);
    }
  });
}

Tensor embedding(const Tensor& ids, const Tensor& weight, Index padding_idx, bool sparse) {
  const bool int8 = weight && weight.dtype() == DType::kInt8;
  if (!int8) check_float("embedding", "weight", weight);
  check_rank("embedding", "weight", weight, 2, "(V, d)");
  const Index vocabulary = weight.dim(0), d = weight.dim(1);
  if (padding_idx != kNoPadding && (padding_idx < 0 || padding_idx >= vocabulary)) {
    value_error("embedding: padding_idx is ", padding_idx, " but must be 0 to ", vocabulary - 1);
  }
  check_ids("embedding", "ids", ids, vocabulary, "weight");
  if (int8) return embedding_int8(ids, weight);
  const Index n = ids.size();
  Shape shape = ids.shape();
  shape.push_back(d);
  Tensor y = Tensor::empty(shape, weight.dtype());
  dispatch_float("embedding", "weight", weight, [&](auto zero) {
    using T = decltype(zero);
    embedding_forward<T>(y.data<T>(), ids.data<std::int64_t>(), weight.data<T>(), n, d);
  });
  if (!needs_grad({&weight})) return y;
  // A copy of the ids: they were checked, and assign could change them before backward runs.
  record(sparse ? "sparse embedding" : "embedding", {weight}, {y}, sparse ? Twice::kNo : Twice::kYes,
         [ids = ids.clone(), weight, n, d, vocabulary, padding_idx, sparse](const Tensors& g) {
           if (grad_enabled()) {
             const Tensor used = ids.clone();
             std::replace(used.data<std::int64_t>(), used.data<std::int64_t>() + n, std::int64_t{padding_idx},
                          std::int64_t{-1});
             accumulate(weight, scatter_rows(reshape(g[0], {n, d}), used, vocabulary));
             return;
           }
           const RowGroups groups = group_rows(ids.data<std::int64_t>(), n, vocabulary, padding_idx);
           accumulate_groups(weight, groups, g[0], groups.order.data<std::int64_t>(), Tensor(), sparse);
         });
  return y;
}

}  // namespace attendo

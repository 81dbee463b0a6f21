// Embedding: a row of a table for each id
//
//   forward    y_i  = W[id_i]
//   backward   dW_v = Σ_{i: id_i = v} dy_i      (rows equal to padding_idx: 0)
//
// ids: (n,).  W, dW: (V, d).  y, dy: (n, d).   Article 004 §3.2.
#include "ops/embedding.h"

#include <cstring>

#include "core/parallel.h"

namespace attendo {
namespace {

template <typename T>
void embedding_forward(T* y, const std::int64_t* ids, const T* weight, Index n, Index d) {
  parallel_ranges(n, rows_per_task(d), [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      std::memcpy(y + i * d, weight + ids[i] * d, static_cast<size_t>(d) * sizeof(T));
    }
  });
}

// Positions sorted by id (stable), so that each row of dW has one owner and its sum one order.
template <typename T>
void embedding_backward(T* d_weight, const T* d_y, const std::int64_t* ids, Index n, Index d, Index vocabulary,
                        Index padding_idx) {
  Scratch<Index> start(static_cast<size_t>(vocabulary + 1)), order(static_cast<size_t>(n)),
      next(static_cast<size_t>(vocabulary));
  std::fill_n(start.get(), vocabulary + 1, Index{0});
  for (Index i = 0; i < n; ++i) ++start.get()[ids[i] + 1];
  for (Index v = 0; v < vocabulary; ++v) start.get()[v + 1] += start.get()[v];
  std::copy_n(start.get(), vocabulary, next.get());
  for (Index i = 0; i < n; ++i) order.get()[next.get()[ids[i]]++] = i;
  const Index grain = std::max<Index>(1, vocabulary * 50000 / std::max<Index>(1, n * d));
  parallel_ranges(vocabulary, grain, [&](Index begin, Index end) {
    for (Index v = begin; v < end; ++v) {
      if (v == padding_idx) continue;
      T* row = d_weight + v * d;
      for (Index s = start.get()[v]; s < start.get()[v + 1]; ++s) {
        const T* g = d_y + order.get()[s] * d;
        for (Index c = 0; c < d; ++c) row[c] += g[c];
      }
    }
  });
}

}  // namespace

Tensor embedding(const Tensor& ids, const Tensor& weight, Index padding_idx) {
  check_defined("embedding", "ids", ids);
  if (ids.dtype() != DType::kInt64) {
    type_error("embedding: ids has dtype ", dtype_name(ids.dtype()), " but must be int64");
  }
  check_float("embedding", "weight", weight);
  check_rank("embedding", "weight", weight, 2, "(V, d)");
  const Index vocabulary = weight.dim(0), d = weight.dim(1), n = ids.size();
  if (padding_idx != kNoPadding && (padding_idx < 0 || padding_idx >= vocabulary)) {
    value_error("embedding: padding_idx is ", padding_idx, " but must be 0 to ", vocabulary - 1);
  }
  const std::int64_t* id = ids.data<std::int64_t>();
  for (Index i = 0; i < n; ++i) {
    if (id[i] < 0 || id[i] >= vocabulary) {
      value_error("embedding: ids holds ", id[i], " but must hold 0 to ", vocabulary - 1, " (weight has ", vocabulary,
                  " rows)");
    }
  }
  Shape shape = ids.shape();
  shape.push_back(d);
  Tensor y = Tensor::empty(shape, weight.dtype());
  dispatch_float("embedding", "weight", weight, [&](auto zero) {
    using T = decltype(zero);
    embedding_forward<T>(y.data<T>(), id, weight.data<T>(), n, d);
  });
  if (!needs_grad({&weight})) return y;
  // A copy of the ids: they were checked, and assign could change them before backward runs.
  record("embedding", {weight}, {y}, [ids = ids.clone(), weight, n, d, vocabulary, padding_idx](const Tensors& grad) {
    const GradTarget target = grad_target(weight);
    if (!target.add) std::memset(target.buffer.raw(), 0, target.buffer.bytes());
    dispatch_float("embedding", "weight", weight, [&](auto zero) {
      using T = decltype(zero);
      embedding_backward<T>(target.buffer.data<T>(), grad[0].data<T>(), ids.data<std::int64_t>(), n, d, vocabulary,
                            padding_idx);
    });
  });
  return y;
}

}  // namespace attendo

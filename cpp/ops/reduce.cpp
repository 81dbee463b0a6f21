// Reductions over any axes
//
//   sum     y = Σ x            dx = dy, repeated along the axes
//   mean    y = Σ x / n        dx = dy / n, repeated
//   max     y = max x          dx = dy at the first maximum, else 0
//
// Inside, the reduced axes are neighbours: x is (outer, n, inner), y is (outer, inner). Where they are not, or for a
// maximum, they are brought to the end.
#include "ops/reduce.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "kernels/gemm.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"
#include "ops/gemm.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kWork = 8;  // multiply-adds that an element read or written is counted for

// Pairwise: the error grows with log n, and the order depends on n alone.
template <typename T>
T pairwise_sum(const T* x, Index n) {
  if (n <= 128) {
    T part[8] = {};
    Index i = 0;
    for (; i + 8 <= n; i += 8) {
      for (Index j = 0; j < 8; ++j) part[j] += x[i + j];
    }
    T total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    for (; i < n; ++i) total += x[i];
    return total;
  }
  const Index half = n / 2 / 8 * 8;
  return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
}

template <typename T>
void sum_rows(T* y, const T* x, Index rows, Index n) {
  if (rows == 1 && n > 1 << 16) {
    constexpr Index kPart = 1 << 15;
    const Index parts = (n + kPart - 1) / kPart;
    Scratch<T> partial(static_cast<size_t>(parts));
    parallel_for(parts,
                 [&](Index p) { partial.get()[p] = pairwise_sum(x + p * kPart, std::min(kPart, n - p * kPart)); });
    y[0] = pairwise_sum(partial.get(), parts);
    return;
  }
  parallel_ranges(rows, rows_per_task(kWork * n), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) y[r] = pairwise_sum(x + r * n, n);
  });
}

// dx (outer, n, inner) = factor · dy (outer, inner), repeated
template <typename T>
void sum_backward(T* d_x, const T* d_y, T factor, const Middle& m) {
  if (m.inner == 1) {
    parallel_ranges(m.outer, rows_per_task(kWork * m.count), [=](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) std::fill_n(d_x + r * m.count, m.count, d_y[r] * factor);
    });
    return;
  }
  parallel_ranges(m.outer * m.count, rows_per_task(kWork * m.inner), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* from = d_y + r / m.count * m.inner;
      T* to = d_x + r * m.inner;
      for (Index j = 0; j < m.inner; ++j) to[j] = from[j] * factor;
    }
  });
}

template <typename T>
void max_forward(T* y, Index* where, const T* x, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(n), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* row = x + r * n;
      Index best = 0;
      for (Index i = 1; i < n && !std::isnan(row[best]); ++i) {
        if (row[i] > row[best] || std::isnan(row[i])) best = i;
      }
      y[r] = row[best];
      where[r] = best;
    }
  });
}

template <typename T>
void max_backward(T* d_x, const T* d_y, const Index* where, Index rows, Index n) {
  std::fill_n(d_x, rows * n, T(0));
  for (Index r = 0; r < rows; ++r) d_x[r * n + where[r]] = d_y[r];
}

struct Plan {
  Tensor x;       // (outer, count, inner)
  Middle middle;  // count: of the reduced axes
  Shape shape;    // of the result
};

// `last`: the reduced axes at the end.
Plan plan(const char* op, const Tensor& x, const Axes& given, bool keepdims, bool last) {
  check_float(op, "x", x);
  const int rank = x.rank();
  std::vector<int> axes = given.value_or(std::vector<int>{});
  if (!given) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  std::array<bool, kMaxRank> reduced{};
  for (int axis : axes) {
    const auto at = static_cast<size_t>(normalize_axis(op, axis, rank));
    if (reduced[at]) value_error(op, ": axis ", axis, " is given twice");
    reduced[at] = true;
  }
  Plan p;
  Shape small;  // the result's, with axes of length 1
  std::vector<int> order;
  Index rows = 1, n = 1;
  for (int i = 0; i < rank; ++i) {
    if (reduced[static_cast<size_t>(i)]) {
      n *= x.dim(i);
      small.push_back(1);
      if (keepdims) p.shape.push_back(1);
    } else {
      rows *= x.dim(i);
      small.push_back(x.dim(i));
      p.shape.push_back(x.dim(i));
      order.push_back(i);
    }
  }
  if (x.size() > 0 && repeats_middle(small, x.shape(), p.middle) && (!last || p.middle.inner == 1)) {
    p.x = reshape(x, {p.middle.outer, p.middle.count, p.middle.inner});
    return p;
  }
  for (int i = 0; i < rank; ++i) {
    if (reduced[static_cast<size_t>(i)]) order.push_back(i);
  }
  p.middle = {rows, n, 1};
  p.x = reshape(std::is_sorted(order.begin(), order.end()) ? x : transpose(x, order), {rows, n, 1});
  return p;
}

Tensor scaled_sum(const char* op, const Tensor& x, const Axes& axes, bool keepdims, bool divide) {
  const Plan p = plan(op, x, axes, keepdims, false);
  const Index n = p.middle.count;
  if (divide && n == 0) value_error(op, ": x has shape ", x.shape(), "; the mean of nothing is not defined");
  const double factor = divide ? 1.0 / static_cast<double>(n) : 1.0;
  Tensor y = Tensor::empty(p.shape, x.dtype());
  dispatch_float(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    T* out = y.data<T>();
    sum_middle<T>(out, p.x.data<T>(), p.middle);
    if (divide) {
      for (Index r = 0; r < y.size(); ++r) out[r] /= static_cast<T>(n);
    }
  });
  if (!needs_grad({&p.x})) return y;
  record(op, {p.x}, {y}, Twice::kYes, [in = p.x, middle = p.middle, factor](const Tensors& d) {
    if (grad_enabled()) {
      const Tensor d_y = reshape(scale(d[0], factor), {middle.outer, 1, middle.inner});
      accumulate(in, reshape(broadcast_to(d_y, {middle.outer, middle.count, middle.inner}), in.shape()));
      return;
    }
    Tensor d_x = Tensor::empty(in.shape(), in.dtype());
    dispatch_float("sum", "x", in, [&](auto zero) {
      using T = decltype(zero);
      sum_backward<T>(d_x.data<T>(), d[0].data<T>(), static_cast<T>(factor), middle);
    });
    accumulate(in, d_x);
  });
  return y;
}

}  // namespace

bool repeats_middle(const Shape& small, const Shape& shape, Middle& middle) {
  Middle m;
  const int missing = shape.rank() - small.rank();
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    const Index n = shape[axis];
    const bool repeated = axis < missing || small[axis - missing] != n;
    if (n == 1) continue;
    if (!repeated) {
      (m.count == 1 ? m.inner : m.outer) *= n;
    } else if (m.outer == 1) {
      m.count *= n;
    } else {
      return false;
    }
  }
  middle = m;
  return true;
}

template <typename T>
void sum_middle(T* y, const T* x, const Middle& m) {
  if (m.inner == 1) {
    sum_rows(y, x, m.outer, m.count);
    return;
  }
  // One after the other where each is enough for all threads.
  constexpr Index kLarge = 1 << 17;
  const Index size = m.count * m.inner;
  if (size >= kLarge) {
    for (Index i = 0; i < m.outer; ++i) column_sum(y + i * m.inner, x + i * size, m.count, m.inner, false);
    return;
  }
  parallel_ranges(m.outer, rows_per_task(kWork * size), [=](Index begin, Index end) {
    const Scratch<T> block(static_cast<size_t>(m.inner));
    for (Index i = begin; i < end; ++i) {
      std::fill_n(y + i * m.inner, m.inner, T(0));
      kernels::gemm_kernels<T>().column_sum(y + i * m.inner, block.get(), x + i * size, m.count, m.inner);
    }
  });
}

template void sum_middle(float*, const float*, const Middle&);
template void sum_middle(double*, const double*, const Middle&);

Tensor sum(const Tensor& x, const Axes& axes, bool keepdims) { return scaled_sum("sum", x, axes, keepdims, false); }

Tensor mean(const Tensor& x, const Axes& axes, bool keepdims) { return scaled_sum("mean", x, axes, keepdims, true); }

Tensor max(const Tensor& x, const Axes& axes, bool keepdims) {
  const Plan p = plan("max", x, axes, keepdims, true);
  const Index rows = p.middle.outer, n = p.middle.count;
  if (n == 0) value_error("max: x has shape ", x.shape(), "; the maximum of nothing is not defined");
  Tensor y = Tensor::empty(p.shape, x.dtype());
  std::vector<Index> where(static_cast<size_t>(rows));
  dispatch_float("max", "x", x, [&](auto zero) {
    using T = decltype(zero);
    max_forward<T>(y.data<T>(), where.data(), p.x.data<T>(), rows, n);
  });
  if (!needs_grad({&p.x})) return y;
  record("max", {p.x}, {y}, Twice::kYes, [in = p.x, rows, n, where = std::move(where)](const Tensors& d) {
    if (grad_enabled()) {
      const Tensor ids = Tensor::empty({rows}, DType::kInt64);
      for (Index r = 0; r < rows; ++r) ids.data<std::int64_t>()[r] = r * n + where[static_cast<size_t>(r)];
      accumulate(in, reshape(scatter_rows(reshape(d[0], {rows, 1}), ids, rows * n), in.shape()));
      return;
    }
    Tensor d_x = Tensor::empty(in.shape(), in.dtype());
    dispatch_float("max", "x", in, [&](auto zero) {
      using T = decltype(zero);
      max_backward<T>(d_x.data<T>(), d[0].data<T>(), where.data(), rows, n);
    });
    accumulate(in, d_x);
  });
  return y;
}

Tensor argmax_last(const Tensor& x) {
  check_float("argmax", "x", x);
  check_min_rank("argmax", "x", x, 1, "(..., n)");
  const Index n = x.dim(-1);
  if (n == 0) value_error("argmax: x has shape ", x.shape(), "; the maximum of nothing is not defined");
  Tensor out = Tensor::empty(x.shape().slice(0, x.rank() - 1), DType::kInt64);
  std::vector<Index> where(static_cast<size_t>(out.size()));
  dispatch_float("argmax", "x", x, [&](auto zero) {
    using T = decltype(zero);
    Scratch<T> values(where.size());
    max_forward<T>(values.get(), where.data(), x.data<T>(), out.size(), n);
  });
  std::copy(where.begin(), where.end(), out.data<std::int64_t>());
  return out;
}

}  // namespace attendo

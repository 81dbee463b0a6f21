// Reductions over any axes
//
//   sum     y = Σ x            dx = dy, repeated along the axes
//   mean    y = Σ x / n        dx = dy / n, repeated
//   max     y = max x          dx = dy at the first maximum, else 0
//
// Inside, the reduced axes are brought to the end: x is (rows, n), y is (rows,).
#include "ops/reduce.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo {
namespace {

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
void sum_forward(T* y, const T* x, Index rows, Index n) {
  if (rows == 1 && n > 1 << 16) {
    constexpr Index kPart = 1 << 15;
    const Index parts = (n + kPart - 1) / kPart;
    Scratch<T> partial(static_cast<size_t>(parts));
    parallel_for(parts,
                 [&](Index p) { partial.get()[p] = pairwise_sum(x + p * kPart, std::min(kPart, n - p * kPart)); });
    y[0] = pairwise_sum(partial.get(), parts);
    return;
  }
  parallel_ranges(rows, rows_per_task(n), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) y[r] = pairwise_sum(x + r * n, n);
  });
}

template <typename T>
void sum_backward(T* d_x, const T* d_y, T factor, Index rows, Index n) {
  parallel_ranges(rows, rows_per_task(n), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) std::fill_n(d_x + r * n, n, d_y[r] * factor);
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
  Tensor x;     // (rows, n), reduced axes last
  Shape shape;  // of the result
  Index rows = 1, n = 1;
};

Plan plan(const char* op, const Tensor& x, const Axes& given, bool keepdims) {
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
  std::vector<int> order;
  for (int i = 0; i < rank; ++i) {
    if (reduced[static_cast<size_t>(i)]) {
      p.n *= x.dim(i);
      if (keepdims) p.shape.push_back(1);
    } else {
      p.rows *= x.dim(i);
      p.shape.push_back(x.dim(i));
      order.push_back(i);
    }
  }
  for (int i = 0; i < rank; ++i) {
    if (reduced[static_cast<size_t>(i)]) order.push_back(i);
  }
  bool sorted = std::is_sorted(order.begin(), order.end());
  p.x = reshape(sorted ? x : transpose(x, order), {p.rows, p.n});
  return p;
}

Tensor scaled_sum(const char* op, const Tensor& x, const Axes& axes, bool keepdims, bool divide) {
  const Plan p = plan(op, x, axes, keepdims);
  if (divide && p.n == 0) value_error(op, ": x has shape ", x.shape(), "; the mean of nothing is not defined");
  const double factor = divide ? 1.0 / static_cast<double>(p.n) : 1.0;
  Tensor y = Tensor::empty(p.shape, x.dtype());
  dispatch_float(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    T* out = y.data<T>();
    sum_forward<T>(out, p.x.data<T>(), p.rows, p.n);
    if (divide) {
      for (Index r = 0; r < p.rows; ++r) out[r] /= static_cast<T>(p.n);
    }
  });
  if (!needs_grad({&p.x})) return y;
  record(op, {p.x}, {y}, [in = p.x, rows = p.rows, n = p.n, factor](const Tensors& d) {
    Tensor d_x = Tensor::empty({rows, n}, in.dtype());
    dispatch_float("sum", "x", in, [&](auto zero) {
      using T = decltype(zero);
      sum_backward<T>(d_x.data<T>(), d[0].data<T>(), static_cast<T>(factor), rows, n);
    });
    accumulate(in, d_x);
  });
  return y;
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keepdims) { return scaled_sum("sum", x, axes, keepdims, false); }

Tensor mean(const Tensor& x, const Axes& axes, bool keepdims) { return scaled_sum("mean", x, axes, keepdims, true); }

Tensor max(const Tensor& x, const Axes& axes, bool keepdims) {
  const Plan p = plan("max", x, axes, keepdims);
  if (p.n == 0) value_error("max: x has shape ", x.shape(), "; the maximum of nothing is not defined");
  Tensor y = Tensor::empty(p.shape, x.dtype());
  std::vector<Index> where(static_cast<size_t>(p.rows));
  dispatch_float("max", "x", x, [&](auto zero) {
    using T = decltype(zero);
    max_forward<T>(y.data<T>(), where.data(), p.x.data<T>(), p.rows, p.n);
  });
  if (!needs_grad({&p.x})) return y;
  record("max", {p.x}, {y}, [in = p.x, rows = p.rows, n = p.n, where = std::move(where)](const Tensors& d) {
    Tensor d_x = Tensor::empty({rows, n}, in.dtype());
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

// Average pooling of sequences and images
//
//   forward    y[b, c, i, j] = 1/n_ij Σ_{u, v} x[b, c, i·s + u - p, j·s + v - p]
//   backward   dx at every entry of a window += dy[b, c, i, j] / n_ij
//
// n_ij: the entries of the window, with those of the padding or without them (never those that a window of ceil mode
// has behind the padding).  x: (B, C, L) or (B, C, H, W).   LeCun et al. 1998, §II.B.
#include "ops/avg_pool.h"

#include "core/parallel.h"

namespace attendo {
namespace {

// In four sums: one addition need not wait for the other.
template <typename T>
double sum_of(const T* x, Index n) {
  double sum[4] = {0, 0, 0, 0};
  Index i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 4; ++k) sum[k] += static_cast<double>(x[i + k]);
  }
  for (; i < n; ++i) sum[0] += static_cast<double>(x[i]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// body(plane, output, rows, columns, 1/n) for every output of every plane; the outputs of a plane in order, on one thread.
template <typename Body>
void for_outputs(Index planes, const PoolAxis& h, const PoolAxis& w, const Body& body) {
  const std::vector<Span> rows = h.spans(), columns = w.spans();
  const Index work = h.axis.out * w.axis.out * (rows[0].end - rows[0].begin) * (columns[0].end - columns[0].begin);
  parallel_ranges(planes, rows_per_task(work), [&](Index first, Index last) {
    for (Index plane = first; plane < last; ++plane) {
      Index out = plane * h.axis.out * w.axis.out;
      for (const Span& row : rows) {
        for (const Span& column : columns) {
          body(plane, out++, row, column, 1 / (static_cast<double>(row.count) * static_cast<double>(column.count)));
        }
      }
    }
  });
}

template <typename T>
void avg_pool_forward(T* y, const T* x, Index planes, const PoolAxis& h, const PoolAxis& w) {
  const Index width = w.axis.size, size = h.axis.size * width;
  for_outputs(planes, h, w, [=](Index plane, Index out, const Span& row, const Span& column, double share) {
    const T* image = x + plane * size;
    double sum = 0;
    if (column.end - column.begin == width) {
      sum = sum_of(image + row.begin * width, (row.end - row.begin) * width);
    } else {
      for (Index i = row.begin; i < row.end; ++i) {
        for (Index j = column.begin; j < column.end; ++j) sum += static_cast<double>(image[i * width + j]);
      }
    }
    y[out] = static_cast<T>(sum * share);
  });
}

template <typename T>
void avg_pool_backward(T* d_x, const T* d_y, Index planes, const PoolAxis& h, const PoolAxis& w) {
  const Index width = w.axis.size, size = h.axis.size * width;
  std::fill_n(d_x, planes * size, T(0));
  for_outputs(planes, h, w, [=](Index plane, Index out, const Span& row, const Span& column, double share) {
    T* image = d_x + plane * size;
    const T d = static_cast<T>(static_cast<double>(d_y[out]) * share);
    for (Index i = row.begin; i < row.end; ++i) {
      for (Index j = column.begin; j < column.end; ++j) image[i * width + j] += d;
    }
  });
}

Tensor spread(const char* name, const Tensor& y, const PoolAxis& h, const PoolAxis& w, const Shape& shape) {
  const Tensor x = Tensor::empty(shape, y.dtype());
  const Index planes = shape[0] * shape[1];
  dispatch_float(name, "y", y, [&](auto zero) {
    using T = decltype(zero);
    if (planes > 0) avg_pool_backward<T>(x.data<T>(), y.data<T>(), planes, h, w);
  });
  if (!needs_grad({&y})) return x;
  record(name, {y}, {x}, Twice::kYes,
         [name, y, h, w](const Tensors& d) { accumulate(y, mean_over(name, d[0], h, w, y.shape())); });
  return x;
}

}  // namespace

Tensor mean_over(const char* name, const Tensor& x, const PoolAxis& h, const PoolAxis& w, const Shape& shape) {
  const Tensor y = Tensor::empty(shape, x.dtype());
  const Index planes = shape[0] * shape[1];
  dispatch_float(name, "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (planes > 0) avg_pool_forward<T>(y.data<T>(), x.data<T>(), planes, h, w);
  });
  if (!needs_grad({&x})) return y;
  record(name, {x}, {y}, Twice::kYes,
         [name, x, h, w](const Tensors& d) { accumulate(x, spread(name, d[0], h, w, x.shape())); });
  return y;
}

Tensor avg_pool1d(const Tensor& x, const Window& window, bool ceil_mode, bool count_include_pad) {
  check_pool_input("avg_pool1d", x, 3, "(B, C, L)");
  check_pooling("avg_pool1d", window);
  const PoolAxis w = sliding_axis("avg_pool1d", "length", window, x.dim(2), ceil_mode, count_include_pad);
  return mean_over("avg_pool1d", x, PoolAxis(), w, {x.dim(0), x.dim(1), w.axis.out});
}

Tensor avg_pool2d(const Tensor& x, const Window& height, const Window& width, bool ceil_mode, bool count_include_pad) {
  check_pool_input("avg_pool2d", x, 4, "(B, C, H, W)");
  check_pooling("avg_pool2d", height);
  check_pooling("avg_pool2d", width);
  const PoolAxis h = sliding_axis("avg_pool2d", "height", height, x.dim(2), ceil_mode, count_include_pad);
  const PoolAxis w = sliding_axis("avg_pool2d", "width", width, x.dim(3), ceil_mode, count_include_pad);
  return mean_over("avg_pool2d", x, h, w, {x.dim(0), x.dim(1), h.axis.out, w.axis.out});
}

}  // namespace attendo

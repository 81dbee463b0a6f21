// Max pooling of sequences and images
//
//   forward    y[b, c, i, j] = max_{u, v} x[b, c, i·s + u·d - p, j·s + v·d - p]
//   backward   dx at the (first) maximum of each window += dy, else 0
//
// x: (B, C, L) or (B, C, H, W).  Positions outside never win; a NaN does.   LeCun et al. 1998, §II.B; article 000 §5.2.
#include "ops/max_pool.h"

#include <limits>

#include "core/parallel.h"
#include "ops/embedding.h"
#include "ops/shape.h"

namespace attendo {
namespace {

// where: the maxima's places in their planes, -1 of a window with nothing but padding (dilation may skip all of x).
template <typename T>
void max_pool_forward(T* y, std::int64_t* where, const T* x, Index planes, const PoolAxis& h, const PoolAxis& w) {
  const std::vector<Span> rows = h.spans(), columns = w.spans();
  const Index width = w.axis.size;
  const Index work = h.axis.out * w.axis.out * (rows[0].end - rows[0].begin) * (columns[0].end - columns[0].begin);
  parallel_ranges(planes, rows_per_task(work), [&](Index first, Index last) {
    for (Index plane = first; plane < last; ++plane) {
      const T* image = x + plane * h.axis.size * width;
      Index out = plane * h.axis.out * w.axis.out;
      for (const Span& row : rows) {
        for (const Span& column : columns) {
          T best = -std::numeric_limits<T>::infinity();
          Index place = -1;
          if (row.begin < row.end && column.begin < column.end) {
            place = row.begin * width + column.begin;
            best = image[place];
          }
          for (Index i = row.begin; i < row.end; i += row.step) {
            for (Index j = column.begin; j < column.end; j += column.step) {
              const T value = image[i * width + j];
              if (!(value <= best) && best == best) best = value, place = i * width + j;  // larger, or the first NaN
            }
          }
          y[out] = best;
          where[out++] = place;
        }
      }
    }
  });
}

template <typename T>
void max_pool_backward(T* d_x, const T* d_y, const std::int64_t* where, Index planes, Index size, Index out) {
  parallel_ranges(planes, rows_per_task(out + size), [=](Index begin, Index end) {
    for (Index plane = begin; plane < end; ++plane) {
      T* image = d_x + plane * size;
      std::fill_n(image, size, T(0));
      for (Index i = plane * out; i < (plane + 1) * out; ++i) {
        if (where[i] >= 0) image[where[i]] += d_y[i];
      }
    }
  });
}

}  // namespace

Tensor max_over(const char* name, const Tensor& x, const PoolAxis& h, const PoolAxis& w, const Shape& shape) {
  const Tensor y = Tensor::empty(shape, x.dtype()), where = Tensor::empty(shape, DType::kInt64);
  const Index planes = x.dim(0) * x.dim(1), size = h.axis.size * w.axis.size, out = h.axis.out * w.axis.out;
  dispatch_float(name, "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (planes > 0) max_pool_forward<T>(y.data<T>(), where.data<std::int64_t>(), x.data<T>(), planes, h, w);
  });
  if (!needs_grad({&x})) return y;
  record(name, {x}, {y}, Twice::kYes, [name, x, where, planes, size, out](const Tensors& d) {
    if (grad_enabled()) {
      const Tensor ids = where.clone();
      const Index n = ids.size();
      for (Index i = 0; i < n; ++i) {
        std::int64_t& id = ids.data<std::int64_t>()[i];
        if (id >= 0) id += i / out * size;
      }
      accumulate(x, reshape(scatter_rows(reshape(d[0], {n, 1}), ids, x.size()), x.shape()));
      return;
    }
    Tensor d_x = Tensor::empty(x.shape(), x.dtype());
    dispatch_float(name, "x", x, [&](auto zero) {
      using T = decltype(zero);
      max_pool_backward<T>(d_x.data<T>(), d[0].data<T>(), where.data<std::int64_t>(), planes, size, out);
    });
    accumulate(x, d_x);
  });
  return y;
}

Tensor max_pool1d(const Tensor& x, const Window& window, bool ceil_mode) {
  check_pool_input("max_pool1d", x, 3, "(B, C, L)");
  check_pooling("max_pool1d", window);
  const PoolAxis w = sliding_axis("max_pool1d", "length", window, x.dim(2), ceil_mode);
  return max_over("max_pool1d", x, PoolAxis(), w, {x.dim(0), x.dim(1), w.axis.out});
}

Tensor max_pool2d(const Tensor& x, const Window& height, const Window& width, bool ceil_mode) {
  check_pool_input("max_pool2d", x, 4, "(B, C, H, W)");
  check_pooling("max_pool2d", height);
  check_pooling("max_pool2d", width);
  const PoolAxis h = sliding_axis("max_pool2d", "height", height, x.dim(2), ceil_mode);
  const PoolAxis w = sliding_axis("max_pool2d", "width", width, x.dim(3), ceil_mode);
  return max_over("max_pool2d", x, h, w, {x.dim(0), x.dim(1), h.axis.out, w.axis.out});
}

}  // namespace attendo

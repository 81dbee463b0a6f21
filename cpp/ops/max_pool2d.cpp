// Max pooling of images
//
//   forward    y[b, c, i, j] = max_{u, v} x[b, c, i·s + u - p, j·s + v - p]
//   backward   dx at the (first) maximum of each window += dy, else 0
//
// x: (B, C, H, W).  Positions outside the image never win.   Article 000 §5.2.
#include "ops/max_pool2d.h"

#include <cmath>

#include "core/parallel.h"
#include "ops/embedding.h"
#include "ops/shape.h"

namespace attendo {
namespace {

struct PoolShape {
  Index planes, height, width, kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, out_h, out_w;
};

template <typename T>
void max_pool2d_forward(T* y, std::int64_t* where, const T* x, const PoolShape& s) {
  parallel_ranges(s.planes, rows_per_task(s.out_h * s.out_w * s.kernel_h * s.kernel_w), [=](Index begin, Index end) {
    for (Index plane = begin; plane < end; ++plane) {
      const T* image = x + plane * s.height * s.width;
      Index out = plane * s.out_h * s.out_w;
      for (Index i = 0; i < s.out_h; ++i) {
        for (Index j = 0; j < s.out_w; ++j, ++out) {
          const Index h0 = i * s.stride_h - s.padding_h, w0 = j * s.stride_w - s.padding_w;
          Index best = std::max<Index>(0, h0) * s.width + std::max<Index>(0, w0);
          for (Index h = std::max<Index>(0, h0); h < std::min(s.height, h0 + s.kernel_h); ++h) {
            for (Index w = std::max<Index>(0, w0); w < std::min(s.width, w0 + s.kernel_w); ++w) {
              const T value = image[h * s.width + w];
              if (value > image[best] || (std::isnan(value) && !std::isnan(image[best]))) best = h * s.width + w;
            }
          }
          y[out] = image[best];
          where[out] = best;
        }
      }
    }
  });
}

template <typename T>
void max_pool2d_backward(T* d_x, const T* d_y, const std::int64_t* where, const PoolShape& s) {
  const Index positions = s.out_h * s.out_w;
  parallel_ranges(s.planes, rows_per_task(positions + s.height * s.width), [=](Index begin, Index end) {
    for (Index plane = begin; plane < end; ++plane) {
      T* image = d_x + plane * s.height * s.width;
      std::fill_n(image, s.height * s.width, T(0));
      for (Index i = plane * positions; i < (plane + 1) * positions; ++i) image[where[i]] += d_y[i];
    }
  });
}

PoolShape check_max_pool2d(const Tensor& x, Index kernel_h, Index kernel_w, Index stride_h, Index stride_w,
                           Index padding_h, Index padding_w) {
  check_float("max_pool2d", "x", x);
  check_rank("max_pool2d", "x", x, 4, "(B, C, H, W)");
  constexpr Index kHuge = Index{1} << 40;
  for (Index size : {kernel_h, kernel_w}) {
    if (size < 1 || size > kHuge) value_error("max_pool2d: kernel_size is ", size, " but must be 1 or more");
  }
  for (Index step : {stride_h, stride_w}) {
    if (step < 1 || step > kHuge) value_error("max_pool2d: stride is ", step, " but must be 1 or more");
  }
  if (padding_h > kHuge || padding_w > kHuge || padding_h < 0 || padding_w < 0 || 2 * padding_h > kernel_h ||
      2 * padding_w > kernel_w) {
    value_error("max_pool2d: padding is (", padding_h, ", ", padding_w, ") but must be 0 to half of kernel_size (",
                kernel_h, ", ", kernel_w, ")");
  }
  PoolShape s{x.dim(0) * x.dim(1), x.dim(2),  x.dim(3), kernel_h, kernel_w, stride_h, stride_w,
              padding_h,           padding_w, 0,        0};
  const Index room_h = s.height + 2 * padding_h - kernel_h, room_w = s.width + 2 * padding_w - kernel_w;
  if (room_h < 0 || room_w < 0) {
    value_error("max_pool2d: kernel_size (", kernel_h, ", ", kernel_w, ") is larger than the padded image (",
                s.height + 2 * padding_h, ", ", s.width + 2 * padding_w, ")");
  }
  if (x.dim(2) < 1 || x.dim(3) < 1) value_error("max_pool2d: x has shape ", x.shape(), "; its images are empty");
  s.out_h = room_h / stride_h + 1;
  s.out_w = room_w / stride_w + 1;
  return s;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, Index kernel_h, Index kernel_w, Index stride_h, Index stride_w, Index padding_h,
                  Index padding_w) {
  const PoolShape s = check_max_pool2d(x, kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w);
  const Shape shape{x.dim(0), x.dim(1), s.out_h, s.out_w};
  Tensor y = Tensor::empty(shape, x.dtype());
  Tensor where = Tensor::empty(shape, DType::kInt64);
  dispatch_float("max_pool2d", "x", x, [&](auto zero) {
    using T = decltype(zero);
    max_pool2d_forward<T>(y.data<T>(), where.data<std::int64_t>(), x.data<T>(), s);
  });
  if (!needs_grad({&x})) return y;
  record("max_pool2d", {x}, {y}, Twice::kYes, [x, where, s](const Tensors& d) {
    if (grad_enabled()) {
      const Tensor ids = where.clone();
      const Index n = ids.size(), positions = s.out_h * s.out_w;
      for (Index i = 0; i < n; ++i) ids.data<std::int64_t>()[i] += i / positions * s.height * s.width;
      accumulate(x, reshape(scatter_rows(reshape(d[0], {n, 1}), ids, x.size()), x.shape()));
      return;
    }
    Tensor d_x = Tensor::empty(x.shape(), x.dtype());
    dispatch_float("max_pool2d", "x", x, [&](auto zero) {
      using T = decltype(zero);
      max_pool2d_backward<T>(d_x.data<T>(), d[0].data<T>(), where.data<std::int64_t>(), s);
    });
    accumulate(x, d_x);
  });
  return y;
}

}  // namespace attendo

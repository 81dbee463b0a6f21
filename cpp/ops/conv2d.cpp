// Convolution (cross-correlation, as in every deep learning library) of images
//
//   forward    y[b, o, i, j]  = bias_o + Σ_{c, u, v} x[b, c, i·s + u - p, j·s + v - p] w[o, c, u, v]
//   backward   dw[o, c, u, v] = Σ_{b, i, j} dy[b, o, i, j] x[b, c, i·s + u - p, j·s + v - p]
//              dx[b, c, h, w] = Σ_{o, (i,u): i·s+u-p=h, (j,v): j·s+v-p=w} dy[b, o, i, j] w[o, c, u, v]
//              dbias_o        = Σ_{b, i, j} dy[b, o, i, j]
//
// One image at a time as a matrix product: its patches as columns (C·kh·kw, OH·OW), the weight as (O, C·kh·kw).
// s: stride.  p: padding with zeros.   LeCun et al. 1989; article 000 §5.2.
#include "ops/conv2d.h"

#include "core/grad.h"
#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"
#include "ops/gemm.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace attendo {
namespace {

struct ConvShape {
  Index batch, channels, height, width;
  Index outputs, kernel_h, kernel_w;
  Index stride_h, stride_w, padding_h, padding_w;
  Index out_h, out_w;

  Index patch() const { return channels * kernel_h * kernel_w; }
  Index positions() const { return out_h * out_w; }
  Index image() const { return channels * height * width; }
};

// Each row of `columns` is one (c, u, v): the input elements that kernel position meets, zeros outside the image.
template <typename T>
void patches(T* columns, const T* x, const ConvShape& s) {
  T* out = columns;
  for (Index c = 0; c < s.channels; ++c) {
    for (Index u = 0; u < s.kernel_h; ++u) {
      for (Index v = 0; v < s.kernel_w; ++v) {
        for (Index i = 0; i < s.out_h; ++i, out += s.out_w) {
          const Index h = i * s.stride_h + u - s.padding_h;
          if (h < 0 || h >= s.height) {
            std::fill_n(out, s.out_w, T(0));
            continue;
          }
          const T* row = x + (c * s.height + h) * s.width;
          for (Index j = 0; j < s.out_w; ++j) {
            const Index w = j * s.stride_w + v - s.padding_w;
            out[j] = w >= 0 && w < s.width ? row[w] : T(0);
          }
        }
      }
    }
  }
}

// The transpose of `patches`: adds each column entry to the input element it came from.
template <typename T>
void add_patches(T* d_x, const T* columns, const ConvShape& s) {
  const T* in = columns;
  for (Index c = 0; c < s.channels; ++c) {
    for (Index u = 0; u < s.kernel_h; ++u) {
      for (Index v = 0; v < s.kernel_w; ++v) {
        for (Index i = 0; i < s.out_h; ++i, in += s.out_w) {
          const Index h = i * s.stride_h + u - s.padding_h;
          if (h < 0 || h >= s.height) continue;
          T* row = d_x + (c * s.height + h) * s.width;
          for (Index j = 0; j < s.out_w; ++j) {
            const Index w = j * s.stride_w + v - s.padding_w;
            if (w >= 0 && w < s.width) row[w] += in[j];
          }
        }
      }
    }
  }
}

template <typename T>
void conv2d_forward(T* y, const T* x, const T* weight, const T* bias, const ConvShape& s) {
  parallel_for(s.batch, [&](Index b) {
    Scratch<T> columns(static_cast<size_t>(s.patch() * s.positions()));
    patches(columns.get(), x + b * s.image(), s);
    T* out = y + b * s.outputs * s.positions();
    if (bias != nullptr) {
      for (Index o = 0; o < s.outputs; ++o) std::fill_n(out + o * s.positions(), s.positions(), bias[o]);
    }
    Gemm<T> g;
    g.m = s.outputs, g.n = s.positions(), g.k = s.patch();
    g.a = weight, g.a_row = s.patch();
    g.b = columns.get(), g.b_row = s.positions();
    g.c = out, g.c_row = s.positions();
    g.add = bias != nullptr;
    gemm(g);
  });
}

template <typename T>
void conv2d_backward(T* d_x, T* d_weight, T* d_bias, const T* d_y, const T* x, const T* weight, const ConvShape& s) {
  const Index weights = s.outputs * s.patch();
  // dw is summed over the images of a shard, and over the shards in order.
  const Shards shards(s.batch, 1);
  Scratch<T> partial(static_cast<size_t>(d_weight == nullptr ? 0 : shards.count * weights));
  parallel_for(shards.count, [&](Index shard) {
    Scratch<T> columns(static_cast<size_t>(s.patch() * s.positions()));
    T* sum = partial.get() + shard * weights;
    const Index end = std::min(s.batch, (shard + 1) * shards.rows);
    for (Index b = shard * shards.rows; b < end; ++b) {
      const T* dy = d_y + b * s.outputs * s.positions();
      if (d_weight != nullptr) {
        patches(columns.get(), x + b * s.image(), s);
        Gemm<T> g;  // dw += dy · columnsᵀ
        g.m = s.outputs, g.n = s.patch(), g.k = s.positions();
        g.a = dy, g.a_row = s.positions();
        g.b = columns.get(), g.b_row = 1, g.b_col = s.positions();
        g.c = sum, g.c_row = s.patch();
        g.add = b > shard * shards.rows;
        gemm(g);
      }
      if (d_x != nullptr) {
        Gemm<T> g;  // columns' gradient = wᵀ · dy
        g.m = s.patch(), g.n = s.positions(), g.k = s.outputs;
        g.a = weight, g.a_row = 1, g.a_col = s.patch();
        g.b = dy, g.b_row = s.positions();
        g.c = columns.get(), g.c_row = s.positions();
        gemm(g);
        T* dx = d_x + b * s.image();
        std::fill_n(dx, s.image(), T(0));
        add_patches(dx, columns.get(), s);
      }
    }
  });
  if (d_weight != nullptr) column_sum(d_weight, partial.get(), s.batch == 0 ? 0 : shards.count, weights, false);
  if (d_bias != nullptr) {
    parallel_ranges(s.outputs, rows_per_task(s.batch * s.positions()), [&](Index begin, Index end) {
      for (Index o = begin; o < end; ++o) {
        double total = 0;  // of a million terms, perhaps
        for (Index b = 0; b < s.batch; ++b) {
          const T* dy = d_y + (b * s.outputs + o) * s.positions();
          for (Index i = 0; i < s.positions(); ++i) total += static_cast<double>(dy[i]);
        }
        d_bias[o] = static_cast<T>(total);
      }
    });
  }
}

ConvShape check_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, Index stride_h, Index stride_w,
                       Index padding_h, Index padding_w) {
  check_float("conv2d", "x", x);
  check_float("conv2d", "weight", weight);
  check_rank("conv2d", "x", x, 4, "(B, C, H, W)");
  check_rank("conv2d", "weight", weight, 4, "(O, C, kh, kw)");
  check_same_dtype("conv2d", "weight", weight, "x", x);
  if (x.dim(1) != weight.dim(1)) {
    value_error("conv2d: x has ", x.dim(1), " channels but weight expects ", weight.dim(1));
  }
  if (bias) {
    check_same_dtype("conv2d", "bias", bias, "x", x);
    check_shape("conv2d", "bias", bias, {weight.dim(0)});
  }
  if (stride_h < 1 || stride_w < 1)
    value_error("conv2d: stride is ", std::min(stride_h, stride_w), " but must be 1 or more");
  if (padding_h < 0 || padding_w < 0)
    value_error("conv2d: padding is ", std::min(padding_h, padding_w), " but must be 0 or more");
  ConvShape s{x.dim(0),  x.dim(1),  x.dim(2), x.dim(3), weight.dim(0), weight.dim(2), weight.dim(3), stride_h, stride_w,
              padding_h, padding_w, 0,        0};
  // Bounds that keep the sums below far from overflow.
  constexpr Index kHuge = Index{1} << 40;
  if (stride_h > kHuge || stride_w > kHuge || padding_h > kHuge || padding_w > kHuge) {
    value_error("conv2d: stride and padding must be below 2**40");
  }
  if (s.kernel_h < 1 || s.kernel_w < 1)
    value_error("conv2d: weight has shape ", weight.shape(), "; its kernel is empty");
  const Index room_h = s.height + 2 * padding_h - s.kernel_h, room_w = s.width + 2 * padding_w - s.kernel_w;
  if (room_h < 0 || room_w < 0) {
    value_error("conv2d: weight's kernel (", s.kernel_h, ", ", s.kernel_w, ") is larger than the padded image (",
                s.height + 2 * padding_h, ", ", s.width + 2 * padding_w, ")");
  }
  s.out_h = room_h / stride_h + 1;
  s.out_w = room_w / stride_w + 1;
  return s;
}

// In differentiable operations: the elements of all patches by their numbers, and one product.
Tensor expanded(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvShape& s) {
  const Tensor numbers = Tensor::empty({s.image()}, DType::kFloat64);  // from 1 on: 0 is outside the image
  for (Index i = 0; i < s.image(); ++i) numbers.data<double>()[i] = static_cast<double>(i + 1);
  const Tensor columns = Tensor::empty({s.patch() * s.positions()}, DType::kFloat64);
  patches(columns.data<double>(), numbers.data<double>(), s);
  const Index n = columns.size();
  const Tensor ids = Tensor::empty({s.batch * n}, DType::kInt64);
  for (Index i = 0; i < s.batch * n; ++i) {
    const auto number = static_cast<Index>(columns.data<double>()[i % n]);
    ids.data<std::int64_t>()[i] = number == 0 ? -1 : i / n * s.image() + number - 1;
  }
  const Tensor all = reshape(gather_rows(reshape(x, {x.size(), 1}), ids), {s.batch, s.patch(), s.positions()});
  Tensor y = matmul(reshape(weight, {s.outputs, s.patch()}), all);
  if (bias) y = add(y, reshape(bias, {s.outputs, 1}));
  return reshape(y, {s.batch, s.outputs, s.out_h, s.out_w});
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, Index stride_h, Index stride_w,
              Index padding_h, Index padding_w) {
  const ConvShape s = check_conv2d(x, weight, bias, stride_h, stride_w, padding_h, padding_w);
  Tensor y = Tensor::empty({s.batch, s.outputs, s.out_h, s.out_w}, x.dtype());
  dispatch_float("conv2d", "x", x, [&](auto zero) {
    using T = decltype(zero);
    conv2d_forward<T>(y.data<T>(), x.data<T>(), weight.data<T>(), bias ? bias.data<T>() : nullptr, s);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record("conv2d", {x, weight, bias}, {y}, Twice::kYes, [x, weight, bias, s](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({x, weight, bias}, d,
                                [&s](const Tensors& p) -> Tensors { return {expanded(p[0], p[1], p[2], s)}; });
    }
    Tensor d_x, d_weight, d_bias;
    if (x.requires_grad()) d_x = Tensor::empty(x.shape(), x.dtype());
    if (weight.requires_grad()) d_weight = Tensor::empty(weight.shape(), x.dtype());
    if (bias && bias.requires_grad()) d_bias = Tensor::empty(bias.shape(), x.dtype());
    dispatch_float("conv2d", "x", x, [&](auto zero) {
      using T = decltype(zero);
      conv2d_backward<T>(d_x ? d_x.data<T>() : nullptr, d_weight ? d_weight.data<T>() : nullptr,
                         d_bias ? d_bias.data<T>() : nullptr, d[0].data<T>(), x.data<T>(), weight.data<T>(), s);
    });
    accumulate(x, d_x);
    accumulate(weight, d_weight);
    accumulate(bias, d_bias);
  });
  return y;
}

}  // namespace attendo

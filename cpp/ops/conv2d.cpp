// Convolution (cross-correlation, as in every deep learning library) of images
//
//   forward    y[b, o, i, j]  = bias_o + Σ_{c, u, v} x[b, c, i·s + u·d - p, j·s + v·d - p] w[o, c, u, v]
//   backward   dw[o, c, u, v] = Σ_{b, i, j} dy[b, o, i, j] x[b, c, i·s + u·d - p, j·s + v·d - p]
//              dx[b, c, h, w] = Σ_{o, (i,u): i·s+u·d-p=h, (j,v): j·s+v·d-p=w} dy[b, o, i, j] w[o, c, u, v]
//              dbias_o        = Σ_{b, i, j} dy[b, o, i, j]
//
// One image at a time as a matrix product: its patches as columns (C·kh·kw, OH·OW), the weight as (O, C·kh·kw). With
// groups, C and O fall into as many parts, each a product of its own; where they are too small for that: depthwise.h.
// s: stride.  p: padding with zeros.  d: dilation.   LeCun et al. 1989; Yu and Koltun 2016 (dilation); article 000 §5.2.
#include "ops/conv2d.h"

#include "core/cost.h"
#include "core/grad.h"
#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/depthwise.h"
#include "ops/embedding.h"
#include "ops/gemm.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace attendo {
namespace {

// One kernel position's inputs along a row: zeros outside the image.
template <typename T>
void read_row(T* out, const T* row, Index v, const WindowAxis& a) {
  const Index first = a.first(v), last = std::max(first, a.last(v));
  std::fill_n(out, first, T(0));
  const T* in = row + v * a.dilation - a.before;
  if (a.stride == 1) {
    std::copy(in + first, in + last, out + first);
  } else {
    for (Index j = first; j < last; ++j) out[j] = in[j * a.stride];
  }
  std::fill(out + last, out + a.out, T(0));
}

// Each row of `columns` is one (c, u, v): the input elements that kernel position meets.
template <typename T>
void patches(T* columns, const T* x, const ConvShape& s) {
  T* out = columns;
  for (Index c = 0; c < s.channels; ++c) {
    for (Index u = 0; u < s.h.kernel; ++u) {
      for (Index v = 0; v < s.w.kernel; ++v) {
        for (Index i = 0; i < s.h.out; ++i, out += s.w.out) {
          const Index h = i * s.h.stride + u * s.h.dilation - s.h.before;
          if (h < 0 || h >= s.h.size) {
            std::fill_n(out, s.w.out, T(0));
          } else {
            read_row(out, x + (c * s.h.size + h) * s.w.size, v, s.w);
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
    for (Index u = 0; u < s.h.kernel; ++u) {
      for (Index v = 0; v < s.w.kernel; ++v) {
        const Index first = s.w.first(v), last = s.w.last(v);
        for (Index i = 0; i < s.h.out; ++i, in += s.w.out) {
          const Index h = i * s.h.stride + u * s.h.dilation - s.h.before;
          if (h < 0 || h >= s.h.size) continue;
          T* row = d_x + (c * s.h.size + h) * s.w.size + v * s.w.dilation - s.w.before;
          for (Index j = first; j < last; ++j) row[j * s.w.stride] += in[j];
        }
      }
    }
  }
}

// The image itself is its matrix of patches.
bool is_pointwise(const ConvShape& s) {
  return s.h.kernel == 1 && s.w.kernel == 1 && s.h.out == s.h.size && s.w.out == s.w.size && s.h.before == 0 &&
         s.w.before == 0;
}

template <typename T>
void conv2d_forward(T* y, const T* x, const T* weight, const T* bias, const ConvShape& s) {
  if (is_depthwise(s)) {
    const Depthwise<T> depthwise(s);
    count_multiply_adds(s.batch * s.groups * depthwise.work());
    parallel_ranges(s.batch * s.groups, rows_per_task(depthwise.work()), [&](Index begin, Index end) {
      for (Index n = begin; n < end; ++n) depthwise.forward(y, x, weight, bias, n / s.groups, n % s.groups);
    });
    return;
  }
  const bool pointwise = is_pointwise(s);
  parallel_for(s.batch, [&](Index b) {
    const Scratch<T> columns(static_cast<size_t>(pointwise ? 0 : s.groups * s.patch() * s.positions()));
    if (!pointwise) patches(columns.get(), x + b * s.image(), s);
    const T* seen = pointwise ? x + b * s.image() : columns.get();
    T* out = y + b * s.outputs * s.positions();
    if (bias != nullptr) {
      for (Index o = 0; o < s.outputs; ++o) std::fill_n(out + o * s.positions(), s.positions(), bias[o]);
    }
    for (Index group = 0; group < s.groups; ++group) {
      Gemm<T> g;
      g.m = s.group_outputs(), g.n = s.positions(), g.k = s.patch();
      g.a = weight + group * g.m * g.k, g.a_row = s.patch();
      g.b = seen + group * g.k * g.n, g.b_row = s.positions();
      g.c = out + group * g.m * g.n, g.c_row = s.positions();
      g.add = bias != nullptr;
      gemm(g);
    }
  });
}

// One image's part of dw (added to where `add`), and its dx; either may be null. columns: scratch.
template <typename T>
void image_backward(T* d_x, T* d_weight, bool add, T* columns, const T* d_y, const T* x, const T* weight,
                    const ConvShape& s) {
  const bool pointwise = is_pointwise(s);
  if (d_weight != nullptr) {
    if (!pointwise) patches(columns, x, s);
    for (Index group = 0; group < s.groups; ++group) {
      Gemm<T> g;  // dw += dy · columnsᵀ
      g.m = s.group_outputs(), g.n = s.patch(), g.k = s.positions();
      g.a = d_y + group * g.m * g.k, g.a_row = s.positions();
      g.b = (pointwise ? x : columns) + group * g.n * g.k, g.b_row = 1, g.b_col = s.positions();
      g.c = d_weight + group * g.m * g.n, g.c_row = s.patch();
      g.add = add;
      gemm(g);
    }
  }
  if (d_x == nullptr) return;
  for (Index group = 0; group < s.groups; ++group) {
    Gemm<T> g;  // columns' gradient = wᵀ · dy
    g.m = s.patch(), g.n = s.positions(), g.k = s.group_outputs();
    g.a = weight + group * g.m * g.k, g.a_row = 1, g.a_col = s.patch();
    g.b = d_y + group * g.k * g.n, g.b_row = s.positions();
    g.c = (pointwise ? d_x : columns) + group * g.m * g.n, g.c_row = s.positions();
    gemm(g);
  }
  if (pointwise) return;
  std::fill_n(d_x, s.image(), T(0));
  add_patches(d_x, columns, s);
}

template <typename T>
void bias_backward(T* d_bias, const T* d_y, const ConvShape& s) {
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

template <typename T>
void depthwise_backward(T* d_x, T* d_weight, const T* d_y, const T* x, const T* weight, const ConvShape& s) {
  const Depthwise<T> depthwise(s);
  const Index weights = s.outputs * s.patch(), rows = s.group_outputs() * s.patch();
  const Index work = s.batch * s.groups * depthwise.work();
  if (d_x != nullptr) {
    count_multiply_adds(work);
    parallel_ranges(s.batch * s.groups, rows_per_task(depthwise.work()), [&](Index begin, Index end) {
      for (Index n = begin; n < end; ++n) depthwise.backward_x(d_x, d_y, weight, n / s.groups, n % s.groups);
    });
  }
  if (d_weight == nullptr) return;
  count_multiply_adds(work);
  // Each group is summed over the images in order.
  std::vector<double> sums(static_cast<size_t>(weights), 0.0);
  parallel_ranges(s.groups, rows_per_task(depthwise.work() * s.batch), [&](Index begin, Index end) {
    for (Index g = begin; g < end; ++g) {
      for (Index b = 0; b < s.batch; ++b) depthwise.backward_weight(sums.data(), d_y, x, b, g);
      for (Index i = g * rows; i < (g + 1) * rows; ++i) d_weight[i] = static_cast<T>(sums[static_cast<size_t>(i)]);
    }
  });
}

template <typename T>
void conv2d_backward(T* d_x, T* d_weight, T* d_bias, const T* d_y, const T* x, const T* weight, const ConvShape& s) {
  if (d_bias != nullptr) bias_backward(d_bias, d_y, s);
  if (is_depthwise(s)) return depthwise_backward(d_x, d_weight, d_y, x, weight, s);
  const Index weights = s.outputs * s.patch();
  // dw is summed over the images of a shard, and over the shards in order.
  const Shards shards(s.batch, 1);
  Scratch<T> partial(static_cast<size_t>(d_weight == nullptr ? 0 : shards.count * weights));
  parallel_for(shards.count, [&](Index shard) {
    const Scratch<T> columns(static_cast<size_t>(is_pointwise(s) ? 0 : s.groups * s.patch() * s.positions()));
    const Index first = shard * shards.rows;
    for (Index b = first; b < std::min(s.batch, first + shards.rows); ++b) {
      image_backward(d_x == nullptr ? nullptr : d_x + b * s.image(),
                     d_weight == nullptr ? nullptr : partial.get() + shard * weights, b > first, columns.get(),
                     d_y + b * s.outputs * s.positions(), x + b * s.image(), weight, s);
    }
  });
  if (d_weight != nullptr) column_sum(d_weight, partial.get(), s.batch == 0 ? 0 : shards.count, weights, false);
}

// In differentiable operations: the elements of all patches by their numbers, and one product a group.
Tensor expanded(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvShape& s, const Shape& shape) {
  const Tensor numbers = Tensor::empty({s.image()}, DType::kFloat64);  // from 1 on: 0 is outside the image
  for (Index i = 0; i < s.image(); ++i) numbers.data<double>()[i] = static_cast<double>(i + 1);
  const Tensor columns = Tensor::empty({s.groups * s.patch() * s.positions()}, DType::kFloat64);
  patches(columns.data<double>(), numbers.data<double>(), s);
  const Index n = columns.size();
  const Tensor ids = Tensor::empty({s.batch * n}, DType::kInt64);
  for (Index i = 0; i < s.batch * n; ++i) {
    const auto number = static_cast<Index>(columns.data<double>()[i % n]);
    ids.data<std::int64_t>()[i] = number == 0 ? -1 : i / n * s.image() + number - 1;
  }
  const Tensor all =
      reshape(gather_rows(reshape(x, {x.size(), 1}), ids), {s.batch, s.groups, s.patch(), s.positions()});
  Tensor y = matmul(reshape(weight, {s.groups, s.group_outputs(), s.patch()}), all);
  if (bias) y = add(y, reshape(bias, {s.groups, s.group_outputs(), 1}));
  return reshape(y, shape);
}

}  // namespace

ConvShape check_channels(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, Index groups) {
  check_same_dtype(op, "weight", weight, "x", x);
  check_size(op, "groups", groups, 1);
  if (x.dim(1) % groups != 0) value_error(op, ": groups is ", groups, " but must divide x's ", x.dim(1), " channels");
  if (weight.dim(0) % groups != 0) {
    value_error(op, ": groups is ", groups, " but must divide weight's ", weight.dim(0), " kernels");
  }
  if (x.dim(1) / groups != weight.dim(1)) {
    value_error(op, ": x has ", x.dim(1) / groups, " channels", groups > 1 ? " a group" : "", " but weight expects ",
                weight.dim(1));
  }
  if (bias) {
    check_same_dtype(op, "bias", bias, "x", x);
    check_shape(op, "bias", bias, {weight.dim(0)});
  }
  for (int axis = 2; axis < weight.rank(); ++axis) {
    if (weight.dim(axis) < 1) value_error(op, ": weight has shape ", weight.shape(), "; its kernel is empty");
  }
  ConvShape s;
  s.batch = x.dim(0), s.channels = x.dim(1), s.outputs = weight.dim(0), s.groups = groups;
  return s;
}

Tensor convolution(const char* name, const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvShape& s,
                   const Shape& shape) {
  Tensor y = Tensor::empty(shape, x.dtype());
  (void)Shape{s.channels, s.h.kernel, s.w.kernel, s.h.out, s.w.out}.size();  // of all patches: may be too many
  dispatch_float(name, "x", x, [&](auto zero) {
    using T = decltype(zero);
    conv2d_forward<T>(y.data<T>(), x.data<T>(), weight.data<T>(), bias ? bias.data<T>() : nullptr, s);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record(name, {x, weight, bias}, {y}, Twice::kYes, [name, x, weight, bias, s, shape](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({x, weight, bias}, d,
                                [&](const Tensors& p) -> Tensors { return {expanded(p[0], p[1], p[2], s, shape)}; });
    }
    Tensor d_x, d_weight, d_bias;
    if (x.requires_grad()) d_x = Tensor::empty(x.shape(), x.dtype());
    if (weight.requires_grad()) d_weight = Tensor::empty(weight.shape(), x.dtype());
    if (bias && bias.requires_grad()) d_bias = Tensor::empty(bias.shape(), x.dtype());
    dispatch_float(name, "x", x, [&](auto zero) {
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

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, Window height, Window width, Index groups) {
  check_float("conv2d", "x", x);
  check_float("conv2d", "weight", weight);
  check_rank("conv2d", "x", x, 4, "(B, C, H, W)");
  check_rank("conv2d", "weight", weight, 4, "(O, C/groups, kh, kw)");
  ConvShape s = check_channels("conv2d", x, weight, bias, groups);
  height.kernel = weight.dim(2), width.kernel = weight.dim(3);
  check_window("conv2d", height);
  check_window("conv2d", width);
  s.h = place_window("conv2d", "weight's kernel", "height", height, x.dim(2));
  s.w = place_window("conv2d", "weight's kernel", "width", width, x.dim(3));
  return convolution("conv2d", x, weight, bias, s, {s.batch, s.outputs, s.h.out, s.w.out});
}

}  // namespace attendo

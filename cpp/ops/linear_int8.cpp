// A linear layer whose weight is held in eight bits
//
//   a_jg = max_{p in g} |W_jp| / 127      n_jp = round(W_jp / a_jg)      Ŵ_jp = a_jg n_jp      g: 64 neighbours in a row
//   forward    y_ij = f(Σ_g a_jg Σ_{p in g} x_ip n_jp + b_j)
//   backward   that of the linear layer with Ŵ; n and a have none
//
// x: (rows, in).  W, n: (out, in).  a: (out, ⌈in / 64⌉).  b: (out,).  y: (rows, out).
// Only the weight is rounded, x stays as it is: |y - x Wᵀ - b| <= Σ_p |x_p| a_jg / 2 but for the rounding of floats. Few rows
// (decoding) read the weight once, a quarter of the bytes; many take it in floats, a block of rows of it at a time.
// A group of W that holds NaN or inf has the scale NaN.          Jacob et al. 2018, eq. 1 with zero point 0; Dettmers et al. 2022.
#include "ops/linear_int8.h"

#include <cmath>

#include "core/cost.h"
#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/gemv.h"
#include "kernels/int8_scores.h"
#include "ops/linear.h"

namespace attendo {
namespace {

constexpr Index kGroup = kernels::kInt8Weights;
constexpr Index kFewRows = 16;            // up to here the weight is widened in registers
constexpr Index kBlock = Index{1} << 20;  // floats of the weight that are there at once

template <typename T>
void quantize(std::int8_t* q, T* scale, const T* weight, Index rows, Index in) {
  const Index groups = kernels::int8_groups(in);
  parallel_ranges(rows, std::max<Index>(1, 16384 / std::max<Index>(1, in)), [=](Index begin, Index end) {
    for (Index j = begin; j < end; ++j) {
      for (Index g = 0; g < groups; ++g) {
        const Index at = j * in + g * kGroup, count = std::min(kGroup, in - g * kGroup);
        kernels::int8_kernels<T>().quantize(q + at, count, scale + j * groups + g, weight + at, count, 1, count);
      }
    }
  });
}

template <typename T>
void linear_int8_forward(T* y, const T* x, const Tensor& weight, const T* bias, Index rows, Activation activation) {
  const Index out = weight.dim(0), in = weight.dim(1), groups = kernels::int8_groups(in);
  if (rows == 0 || out == 0) return;
  const auto* q = weight.data<std::int8_t>();
  const T* scale = weight.scales().data<T>();
  if (rows <= kFewRows) {
    count_multiply_adds(rows * in * out);
    kernels::GemvTask<T> all;
    all.m = rows, all.k = in;
    all.x = x, all.x_row = in;
    all.y_row = out;
    parallel_ranges(out, gemv_columns(rows, std::max<Index>(1, in)), [&](Index begin, Index end) {
      kernels::GemvTask<T> task = all;
      task.n = end - begin;
      task.q = q + begin * in, task.scale = scale + begin * groups;
      task.y = y + begin;
      task.bias = bias == nullptr ? nullptr : bias + begin;
      kernels::gemv_kernels<T>().run_int8(task);
    });
  } else {
    const Index block = std::min(out, std::max<Index>(64, kBlock / std::max<Index>(1, in)));
    const Scratch<T> w(static_cast<size_t>(block * in));
    for (Index j = 0; j < out; j += block) {
      const Index count = std::min(block, out - j);
      parallel_ranges(count, rows_per_task(in), [&](Index begin, Index end) {
        kernels::gemv_kernels<T>().dequantize(w.get() + begin * in, q + (j + begin) * in, scale + (j + begin) * groups,
                                              end - begin, in);
      });
      Gemm<T> g;
      g.m = rows, g.n = count, g.k = in;
      g.a = x, g.a_row = in;
      g.b = w.get(), g.b_row = 1, g.b_col = in;
      g.c = y + j, g.c_row = out;
      if (bias != nullptr) g.bias = bias + j;
      gemm(g);
    }
  }
  finish_rows(y, rows, out, activation);
}

void check_int8(const char* op, const char* name, const Tensor& weight) {
  if (weight.dtype() != DType::kInt8 || !weight.scales()) {
    type_error(op, ": ", name, " has dtype ", dtype_name(weight.dtype()), " but must be int8 with its scales");
  }
  if (weight.impl()->products) {
    type_error(op, ": ", name, " is a quantized matrix, which linear layers take, but must be one of to_int8()");
  }
}

}  // namespace

Tensor int8_matrix(const char* op, const Tensor& weight, const Tensor& scales) {
  check_float(op, "scales", scales);
  check_rank(op, "weight", weight, 2, "(out, in)");
  check_shape(op, "scales", scales, {weight.dim(0), kernels::int8_groups(weight.dim(1))});
  dispatch_float(op, "scales", scales, [&](auto zero) {
    using T = decltype(zero);
    for (Index i = 0; i < scales.size(); ++i) {
      const T scale = scales.data<T>()[i];
      if (std::isinf(scale)) {
        value_error(op, ": scales holds ", scale, " but must hold finite numbers, or NaN for a group that is none");
      }
    }
  });
  const Tensor matrix = weight.detach();
  matrix.set_scales(scales.detach());
  return matrix;
}

Tensor quantize_int8(const Tensor& weight) {
  check_float("quantize_int8", "weight", weight);
  check_rank("quantize_int8", "weight", weight, 2, "(out, in)");
  const Index out = weight.dim(0), in = weight.dim(1);
  const Tensor matrix = Tensor::empty({out, in}, DType::kInt8);
  const Tensor scales = Tensor::empty({out, kernels::int8_groups(in)}, weight.dtype());
  dispatch_float("quantize_int8", "weight", weight, [&](auto zero) {
    using T = decltype(zero);
    quantize<T>(matrix.data<std::int8_t>(), scales.data<T>(), weight.data<T>(), out, in);
  });
  matrix.set_scales(scales);
  return matrix;
}

Tensor dequantize_int8(const Tensor& weight) {
  check_int8("dequantize_int8", "weight", weight);
  const Tensor scales = weight.scales(), out = Tensor::empty(weight.shape(), scales.dtype());
  const Index in = weight.dim(1), groups = kernels::int8_groups(in);
  dispatch_float("dequantize_int8", "scales", scales, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(weight.dim(0), rows_per_task(in), [&](Index begin, Index end) {
      kernels::gemv_kernels<T>().dequantize(out.data<T>() + begin * in, weight.data<std::int8_t>() + begin * in,
                                            scales.data<T>() + begin * groups, end - begin, in);
    });
  });
  return out;
}

Tensor linear_int8(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  constexpr const char* kOp = "linear_int8";
  check_float(kOp, "x", x);
  check_int8(kOp, "weight", weight);
  check_min_rank(kOp, "x", x, 1, "(..., in)");
  check_same_dtype(kOp, "scales", weight.scales(), "x", x);
  if (x.dim(-1) != weight.dim(1)) {
    value_error(kOp, ": x has ", x.dim(-1), " features but weight expects ", weight.dim(1), " (weight has shape ",
                weight.shape(), ", which is (out, in))");
  }
  if (bias) {
    check_float(kOp, "bias", bias);
    check_same_dtype(kOp, "bias", bias, "x", x);
    check_shape(kOp, "bias", bias, {weight.dim(0)});
  }
  const bool tracked = needs_grad({&x, &bias});
  if (tracked && activation != Activation::kNone) return activate(linear_int8(x, weight, bias), activation);
  const Index out = weight.dim(0), in = weight.dim(1), rows = x.shape().product(0, x.rank() - 1);
  Shape shape = x.shape();
  shape[-1] = out;
  const Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float(kOp, "x", x, [&](auto zero) {
    using T = decltype(zero);
    linear_int8_forward<T>(y.data<T>(), x.data<T>(), weight, data_or_null<T>(bias), rows, activation);
  });
  if (!tracked) return y;
  record(kOp, {x, bias}, {y}, Twice::kYes, [x, weight, bias, rows, in, out](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({x, bias}, d, [&weight](const Tensors& p) -> Tensors {
        return {linear(p[0], dequantize_int8(weight), p[1])};
      });
    }
    dispatch_float(kOp, "x", x, [&](auto zero) {
      using T = decltype(zero);
      Tensor d_x, w;
      if (x.requires_grad()) d_x = Tensor::empty(x.shape(), x.dtype()), w = dequantize_int8(weight);
      GradTarget d_bias;
      if (bias && bias.requires_grad()) d_bias = grad_target(bias);
      linear_backward<T>(data_or_null<T>(d_x), nullptr, false, data_or_null<T>(d_bias.buffer), d_bias.add,
                         d[0].data<T>(), x.data<T>(), data_or_null<T>(w), rows, in, out);
      accumulate(x, d_x);
    });
  });
  return y;
}

Tensor embedding_int8(const Tensor& ids, const Tensor& weight) {
  check_int8("embedding", "weight", weight);
  const Tensor scales = weight.scales();
  const Index d = weight.dim(1), groups = kernels::int8_groups(d);
  Shape shape = ids.shape();
  shape.push_back(d);
  const Tensor y = Tensor::empty(shape, scales.dtype());
  dispatch_float("embedding", "weight", scales, [&](auto zero) {
    using T = decltype(zero);
    const auto* id = ids.data<std::int64_t>();
    parallel_ranges(ids.size(), rows_per_task(d), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        kernels::gemv_kernels<T>().dequantize(y.data<T>() + i * d, weight.data<std::int8_t>() + id[i] * d,
                                              scales.data<T>() + id[i] * groups, 1, d);
      }
    });
  });
  return y;
}

}  // namespace attendo

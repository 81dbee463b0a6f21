// A linear layer whose products are of whole numbers
//
//   weight     a_j = max_p |W_jp| / 127                     n_jp = round(W_jp / a_j)                     -127 … 127
//   input      s_i = (max_p⁺ x_ip - min_p⁻ x_ip) / 255      z_i = round(-min_p⁻ x_ip / s_i)      max⁺, min⁻: 0 among them
//              q_ip = clamp(round(x_ip / s_i) + z_i, 0, 255)                                             0 … 255
//   forward    y_ij = f(s_i a_j (Σ_p q_ip n_jp - z_i Σ_p n_jp) + b_j)                             the sums int32, exact
//
// x: (rows, in).  W, n: (out, in).  a, b: (out,).  s, z: (rows,).  y: (rows, out).  There is no gradient.
// Dynamic: s and z of each row of x are its own, so that no row depends on another (one token on the cache, padding). Static:
// they were found before and are the same for all rows; what lies outside of the range is cut off. With both rounded,
// |y - x Wᵀ - b| <= Σ_p (|x_ip| a_j / 2 + s_i |W_jp| / 2 + s_i a_j / 4) but for the rounding of floats, if nothing is cut off.
// A row of W or x that holds NaN or inf gives NaN.                                     Jacob et al. 2018, eq. 7 (z of W is 0).
#include "ops/quantized_linear.h"

#include <cmath>
#include <limits>

#include "core/cost.h"
#include "core/parallel.h"
#include "kernels/gemm_int8.h"
#include "kernels/int8_scores.h"

namespace attendo {
namespace {

constexpr Index kBlockBytes = 1 << 17;  // of q that meet all columns of a task: they stay in the second-level cache
constexpr Index kTaskWork = 2'000'000;  // multiply-adds that are worth a task; of few rows, which wait for memory,
constexpr Index kFewRowsWork = 600'000;

template <typename T>
void forward(T* y, const T* x, const Tensor& weight, const T* bias, Index rows, Activation activation) {
  const Index out = weight.dim(0), in = weight.dim(1), depth = kernels::int8_depth(in);
  if (rows == 0 || out == 0) return;
  count_multiply_adds(rows * out * in);
  const Int8Products& products = *weight.impl()->products;
  std::optional<Int8Range> range;
  if (products.input) range = {static_cast<double>(products.input.data<T>()[0]), 0};
  if (range) range->zero_point = static_cast<std::int32_t>(products.input.data<T>()[1]);

  const Scratch<std::uint8_t> q(static_cast<size_t>(rows * depth));
  const Scratch<T> scale(static_cast<size_t>(rows));
  const Scratch<std::int32_t> zero(static_cast<size_t>(rows));
  parallel_ranges(rows, std::max<Index>(1, 32768 / std::max<Index>(1, in)), [&](Index begin, Index end) {
    kernels::int8_input_kernels<T>().quantize(q.get() + begin * depth, scale.get() + begin, zero.get() + begin,
                                              x + begin * in, end - begin, in, range ? &*range : nullptr);
  });

  const Index block = std::clamp<Index>(kBlockBytes / std::max<Index>(1, depth) / 4 * 4, 4, 128);
  const Index block_rows = std::min(block, rows), work = block_rows * std::max<Index>(64, in);
  const Index columns =
      std::clamp<Index>((rows < 4 ? kFewRowsWork : kTaskWork) / work / 4 * 4, 16, std::max<Index>(16, out));
  const Index row_tasks = (rows + block - 1) / block, column_tasks = (out + columns - 1) / columns;
  parallel_for(row_tasks * column_tasks, [&](Index index) {
    const Index i = index / column_tasks * block, j = index % column_tasks * columns;
    kernels::GemmInt8Task<T> task;
    task.m = std::min(block, rows - i), task.n = std::min(columns, out - j), task.k = in;
    task.q = q.get() + i * depth, task.q_scale = scale.get() + i, task.zero_point = zero.get() + i;
    task.w = weight.data<std::int8_t>() + j * in;
    task.w_scale = weight.scales().data<T>() + j;
    task.w_sum = products.sums.data<std::int64_t>() + j;
    if (bias != nullptr) task.bias = bias + j;
    task.y = y + i * out + j, task.y_row = out;
    kernels::gemm_int8_kernels<T>().run(task);
    if (activation == Activation::kNone) return;
    kernels::GemmTask<T> finish;
    finish.m = task.m, finish.n = task.n;
    finish.c = task.y, finish.c_row = out;
    finish.epilogue.activation = activation;
    kernels::gemm_kernels<T>().finish(finish);
  });
}

void check_length(const char* op, const Tensor& weight) {
  if (weight.dim(1) <= kernels::kInt8LongestRow) return;
  value_error(op, ": weight has ", weight.dim(1), " features but must have ", kernels::kInt8LongestRow,
              " or less, so that sums of products fit 32 bits");
}

Tensor with_products(const Tensor& matrix, const Tensor& scales, const Tensor& input) {
  matrix.set_scales(scales);
  matrix.impl()->products =
      std::make_shared<const Int8Products>(Int8Products{Tensor::empty({matrix.dim(0)}, DType::kInt64), input});
  renew_products(matrix);
  return matrix;
}

}  // namespace

void renew_products(const Tensor& weight) {
  const Tensor sums = weight.impl()->products->sums;
  const Index in = weight.dim(1);
  parallel_ranges(weight.dim(0), rows_per_task(in), [&](Index begin, Index end) {
    for (Index j = begin; j < end; ++j) {
      const auto* row = weight.data<std::int8_t>() + j * in;
      std::int64_t sum = 0;
      for (Index p = 0; p < in; ++p) sum += row[p];
      sums.data<std::int64_t>()[j] = sum;
    }
  });
}

Int8Range input_range(const char* op, const char* arg, const Tensor& input) {
  check_float(op, arg, input);
  check_shape(op, arg, input, {2});
  const Tensor both = input.to(DType::kFloat64);
  const double scale = both.data<double>()[0], zero = both.data<double>()[1];
  const double least =
      input.dtype() == DType::kFloat32 ? std::numeric_limits<float>::min() : std::numeric_limits<double>::min();
  if (!(scale >= least) || !std::isfinite(scale)) {
    value_error(op, ": ", arg, " has the scale ", scale, " but it must be positive and finite");
  }
  if (!(zero >= 0 && zero <= 255) || zero != std::floor(zero)) {
    value_error(op, ": ", arg, " has the zero point ", zero, " but it must be a whole number from 0 to 255");
  }
  return {scale, static_cast<std::int32_t>(zero)};
}

Tensor quantize_per_channel(const char* op, const Tensor& weight, const std::optional<Int8Range>& input) {
  check_float(op, "weight", weight);
  check_rank(op, "weight", weight, 2, "(out, in)");
  check_length(op, weight);
  const Index out = weight.dim(0), in = weight.dim(1);
  const Tensor matrix = Tensor::empty({out, in}, DType::kInt8), scales = Tensor::empty({out}, weight.dtype());
  Tensor range;
  dispatch_float(op, "weight", weight, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(out, rows_per_task(in), [&](Index begin, Index end) {
      kernels::int8_kernels<T>().quantize(matrix.data<std::int8_t>() + begin * in, in, scales.data<T>() + begin,
                                          weight.data<T>() + begin * in, in, end - begin, in);
    });
    if (!input) return;
    range = Tensor::empty({2}, weight.dtype());
    range.data<T>()[0] = static_cast<T>(input->scale), range.data<T>()[1] = static_cast<T>(input->zero_point);
  });
  return with_products(matrix, scales, range);
}

Tensor quantized_matrix(const char* op, const Tensor& weight, const Tensor& scales, const Tensor& input) {
  check_float(op, "scales", scales);
  check_rank(op, "weight", weight, 2, "(out, in)");
  check_length(op, weight);
  check_shape(op, "scales", scales, {weight.dim(0)});
  if (input) {
    check_same_dtype(op, "input_range", input, "scales", scales);
    input_range(op, "input_range", input);
  }
  return with_products(weight.detach(), scales.detach(), input ? input.detach() : Tensor());
}

Tensor quantized_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  constexpr const char* kOp = "quantized_linear";
  check_float(kOp, "x", x);
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
  for (const auto& [name, tensor] : {std::pair{"x", x}, std::pair{"bias", bias}}) {
    if (!tensor || !needs_grad({&tensor})) continue;
    value_error(kOp, ": ", name,
                " requires a gradient, but products of whole numbers have none: a quantized model only ",
                "computes, call it under attendo.no_grad(); to_int8() gives one whose inputs have gradients");
  }
  Shape shape = x.shape();
  shape[-1] = weight.dim(0);
  const Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float(kOp, "x", x, [&](auto zero) {
    using T = decltype(zero);
    forward<T>(y.data<T>(), x.data<T>(), weight, data_or_null<T>(bias), x.shape().product(0, x.rank() - 1), activation);
  });
  return y;
}

}  // namespace attendo

// A linear layer
//
//   forward    y = x Wᵀ + b
//   backward   dx = dy W      dW = dyᵀ x      db = Σ_rows dy
//
// x, dx: (rows, in).  W, dW: (out, in).  b, db: (out,).  y, dy: (rows, out).   Article 000 §5.2, 003 §4.3.
#include "ops/linear.h"

#include "core/parallel.h"
#include "ops/gemm.h"

namespace attendo {

template <typename T>
void linear_forward(T* y, const T* x, const T* weight, const T* bias, bool relu, Index rows, Index in, Index out) {
  Gemm<T> g;
  g.m = rows, g.n = out, g.k = in;
  g.a = x, g.a_row = in;
  g.b = weight, g.b_row = 1, g.b_col = in;
  g.c = y, g.c_row = out;
  g.bias = bias;
  g.relu = relu;
  gemm(g);
}

template <typename T>
void linear_backward(T* d_x, T* d_weight, bool add_weight, T* d_bias, bool add_bias, const T* d_y, const T* x,
                     const T* weight, Index rows, Index in, Index out) {
  if (d_x != nullptr) {
    Gemm<T> g;
    g.m = rows, g.n = in, g.k = out;
    g.a = d_y, g.a_row = out;
    g.b = weight, g.b_row = in;
    g.c = d_x, g.c_row = in;
    gemm(g);
  }
  if (d_weight != nullptr) {
    Gemm<T> g;
    g.m = out, g.n = in, g.k = rows;
    g.a = d_y, g.a_row = 1, g.a_col = out;
    g.b = x, g.b_row = in;
    g.c = d_weight, g.c_row = in;
    g.add = add_weight;
    gemm(g);
  }
  if (d_bias != nullptr) column_sum(d_bias, d_y, rows, out, add_bias);
}

template void linear_forward(float*, const float*, const float*, const float*, bool, Index, Index, Index);
template void linear_forward(double*, const double*, const double*, const double*, bool, Index, Index, Index);
template void linear_backward(float*, float*, bool, float*, bool, const float*, const float*, const float*, Index,
                              Index, Index);
template void linear_backward(double*, double*, bool, double*, bool, const double*, const double*, const double*, Index,
                              Index, Index);

namespace {

// relu's share of the backward pass: dy where y > 0, else 0.
template <typename T>
void mask_where_zero(T* out, const T* d_y, const T* y, Index n) {
  parallel_ranges(n, 1 << 16, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T g = d_y[i];  // read whatever y is: a load behind a condition keeps the loop from being vectorised
      out[i] = y[i] > T(0) ? g : T(0);
    }
  });
}

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_float("linear", "x", x);
  check_float("linear", "weight", weight);
  check_min_rank("linear", "x", x, 1, "(..., in)");
  check_rank("linear", "weight", weight, 2, "(out, in)");
  check_same_dtype("linear", "weight", weight, "x", x);
  if (x.dim(-1) != weight.dim(1)) {
    value_error("linear: x has ", x.dim(-1), " features but weight expects ", weight.dim(1), " (weight has shape ",
                weight.shape(), ", which is (out, in))");
  }
  if (bias) {
    check_float("linear", "bias", bias);
    check_same_dtype("linear", "bias", bias, "x", x);
    check_shape("linear", "bias", bias, {weight.dim(0)});
  }
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu) {
  check_linear(x, weight, bias);
  const Index in = weight.dim(1), out = weight.dim(0);
  const Index rows = x.shape().product(0, x.rank() - 1);
  Shape shape = x.shape();
  shape[-1] = out;
  Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float("linear", "x", x, [&](auto zero) {
    using T = decltype(zero);
    linear_forward<T>(y.data<T>(), x.data<T>(), weight.data<T>(), bias ? bias.data<T>() : nullptr, relu, rows, in, out);
  });
  if (!needs_grad({&x, &weight, &bias})) return y;
  record("linear", {x, weight, bias}, {y},
         [x, weight, bias, relu, rows, in, out, saved = y.detach()](const Tensors& d) {
           dispatch_float("linear", "x", x, [&](auto zero) {
             using T = decltype(zero);
             Tensor d_y = d[0];
             if (relu) {
               d_y = Tensor::empty(d[0].shape(), d[0].dtype());
               mask_where_zero(d_y.data<T>(), d[0].data<T>(), saved.data<T>(), saved.size());
             }
             Tensor d_x;
             if (x.requires_grad()) d_x = Tensor::empty(x.shape(), x.dtype());
             GradTarget d_weight, d_bias;
             if (weight.requires_grad()) d_weight = grad_target(weight);
             if (bias && bias.requires_grad()) d_bias = grad_target(bias);
             linear_backward<T>(d_x ? d_x.data<T>() : nullptr, d_weight.buffer ? d_weight.buffer.data<T>() : nullptr,
                                d_weight.add, d_bias.buffer ? d_bias.buffer.data<T>() : nullptr, d_bias.add,
                                d_y.data<T>(), x.data<T>(), weight.data<T>(), rows, in, out);
             accumulate(x, d_x);
           });
         });
  return y;
}

}  // namespace attendo

// A linear layer
//
//   forward    z = x Wᵀ + b     y = f(z),  f = nothing, relu, gelu (either form) or silu
//   backward   dz = dy f'(z)    dx = dz W      dW = dzᵀ x      db = Σ_rows dz
//
// x, dx: (rows, in).  W, dW: (out, in).  b, db: (out,).  y, z, dy, dz: (rows, out).  Kept: y for relu, z for the others.
//   Article 000 §5.2, 003 §4.3.
#include "ops/linear.h"

#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/gates.h"
#include "kernels/rows.h"
#include "ops/activations.h"
#include "ops/linear_int8.h"
#include "ops/lora.h"
#include "ops/matmul.h"
#include "ops/quantized_linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo {

template <typename T>
void linear_forward(T* y, const T* x, const T* weight, const T* bias, Index rows, Index in, Index out,
                    const Epilogue<T>& epilogue) {
  Gemm<T> g;
  g.m = rows, g.n = out, g.k = in;
  g.a = x, g.a_row = in;
  g.b = weight, g.b_row = 1, g.b_col = in;
  g.c = y, g.c_row = out;
  g.bias = bias;
  g.epilogue = epilogue;
  gemm(g);
}

template <typename T>
void linear_backward(T* d_x, T* d_weight, bool add_weight, T* d_bias, bool add_bias, const T* d_y, const T* x,
                     const T* weight, Index rows, Index in, Index out, const Epilogue<T>& epilogue) {
  if (d_x != nullptr) {
    Gemm<T> g;
    g.m = rows, g.n = in, g.k = out;
    g.a = d_y, g.a_row = out;
    g.b = weight, g.b_row = in;
    g.c = d_x, g.c_row = in;
    g.epilogue = epilogue;
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

template void linear_forward(float*, const float*, const float*, const float*, Index, Index, Index,
                             const Epilogue<float>&);
template void linear_forward(double*, const double*, const double*, const double*, Index, Index, Index,
                             const Epilogue<double>&);
template void linear_backward(float*, float*, bool, float*, bool, const float*, const float*, const float*, Index,
                              Index, Index, const Epilogue<float>&);
template void linear_backward(double*, double*, bool, double*, bool, const double*, const double*, const double*, Index,
                              Index, Index, const Epilogue<double>&);

namespace {

constexpr Index kGrain = 1 << 15;

// dz = dy f'(z); kept: what linear keeps.
template <typename T>
void activation_backward(T* d_z, const T* d_y, const T* kept, Activation activation, Index n) {
  parallel_ranges(n, kGrain, [=](Index begin, Index end) {
    const auto& rows = kernels::row_kernels<T>();
    switch (activation) {
      case Activation::kGelu: return rows.gelu_backward(d_z + begin, d_y + begin, kept + begin, end - begin);
      case Activation::kGeluTanh: return rows.gelu_tanh_backward(d_z + begin, d_y + begin, kept + begin, end - begin);
      case Activation::kSilu:
        return kernels::gate_kernels<T>().silu_backward(d_z + begin, d_y + begin, kept + begin, end - begin);
      case Activation::kRelu:
      case Activation::kNone: break;
    }
    for (Index i = begin; i < end; ++i) {
      const T g = d_y[i];  // read whatever y is: a load behind a condition keeps the loop from being vectorised
      d_z[i] = kept[i] > T(0) ? g : T(0);
    }
  });
}

}  // namespace

Tensor activate(const Tensor& z, Activation activation) {
  switch (activation) {
    case Activation::kRelu: return relu(z);
    case Activation::kGelu: return gelu(z);
    case Activation::kGeluTanh: return gelu(z, true);
    case Activation::kSilu: return silu(z);
    case Activation::kNone: break;
  }
  return z;
}

void check_linear(const char* op, const char* x_name, const Tensor& x, const char* weight_name, const Tensor& weight,
                  const char* bias_name, const Tensor& bias) {
  check_float(op, x_name, x);
  check_float(op, weight_name, weight);
  check_min_rank(op, x_name, x, 1, "(..., in)");
  check_rank(op, weight_name, weight, 2, "(out, in)");
  check_same_dtype(op, weight_name, weight, x_name, x);
  if (x.dim(-1) != weight.dim(1)) {
    value_error(op, ": ", x_name, " has ", x.dim(-1), " features but ", weight_name, " expects ", weight.dim(1), " (",
                weight_name, " has shape ", weight.shape(), ", which is (out, in))");
  }
  if (bias) {
    check_float(op, bias_name, bias);
    check_same_dtype(op, bias_name, bias, x_name, x);
    check_shape(op, bias_name, bias, {weight.dim(0)});
  }
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  if (weight && weight.low_rank()) return lora(x, weight, bias, *weight.low_rank(), activation);
  if (weight && weight.dtype() == DType::kInt8) {
    return weight.impl()->products ? quantized_linear(x, weight, bias, activation)
                                   : linear_int8(x, weight, bias, activation);
  }
  check_linear("linear", "x", x, "weight", weight, "bias", bias);
  if (weight.impl()->observer) observe_input(weight, x);
  const Index in = weight.dim(1), out = weight.dim(0);
  const Index rows = x.shape().product(0, x.rank() - 1);
  Shape shape = x.shape();
  shape[-1] = out;
  const bool tracked = needs_grad({&x, &weight, &bias});
  Tensor y = Tensor::empty(shape, x.dtype()), before;
  if (tracked && needs_input(activation)) before = Tensor::empty(shape, x.dtype());
  dispatch_float("linear", "x", x, [&](auto zero) {
    using T = decltype(zero);
    Epilogue<T> epilogue;
    epilogue.activation = activation;
    if (before) epilogue.before = before.data<T>();
    linear_forward<T>(y.data<T>(), x.data<T>(), weight.data<T>(), data_or_null<T>(bias), rows, in, out, epilogue);
  });
  if (!tracked) return y;
  record("linear", {x, weight, bias}, {y}, Twice::kYes,
         [x, weight, bias, activation, rows, in, out,
          kept = activation == Activation::kRelu ? y.detach() : before](const Tensors& d) {
           if (grad_enabled() && activation != Activation::kNone) {
             return accumulate_through({x, weight, bias}, d, [activation](const Tensors& p) -> Tensors {
               const Tensor z = linear(p[0], p[1], p[2]);
               return {activate(z, activation)};
             });
           }
           if (grad_enabled()) {
             const Tensor d_y = reshape(d[0], {rows, out});
             if (x.requires_grad()) accumulate(x, reshape(matmul(d_y, weight), x.shape()));
             if (weight.requires_grad()) accumulate(weight, matmul(transpose(d_y), reshape(x, {rows, in})));
             if (bias && bias.requires_grad()) accumulate(bias, sum(d_y, std::vector<int>{0}));
             return;
           }
           dispatch_float("linear", "x", x, [&](auto zero) {
             using T = decltype(zero);
             Tensor d_z = d[0];
             if (activation != Activation::kNone) {
               d_z = Tensor::empty(d[0].shape(), d[0].dtype());
               activation_backward(d_z.data<T>(), d[0].data<T>(), kept.data<T>(), activation, kept.size());
             }
             Tensor d_x;
             if (x.requires_grad()) d_x = Tensor::empty(x.shape(), x.dtype());
             GradTarget d_weight, d_bias;
             if (weight.requires_grad()) d_weight = grad_target(weight);
             if (bias && bias.requires_grad()) d_bias = grad_target(bias);
             linear_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight.buffer), d_weight.add,
                                data_or_null<T>(d_bias.buffer), d_bias.add, d_z.data<T>(), x.data<T>(),
                                weight.data<T>(), rows, in, out);
             accumulate(x, d_x);
           });
         });
  return y;
}

}  // namespace attendo

// The position-wise feed-forward network
//
//   forward    z = x W₁ᵀ + b₁      h = drop(f(z))      y = h W₂ᵀ + b₂      f = relu, gelu, silu or nothing
//   backward   dz = drop(dy W₂) f'(z)      dW₂ = dyᵀ h      dW₁ = dzᵀ x      dx = dz W₁      db₁, db₂: sums of dz, dy
//
// x, dx: (rows, in).  W₁: (hidden, in).  z, h: (rows, hidden).  W₂: (out, hidden).  y: (rows, out).
// Kept: h, and z but for relu. Activation and dropout, forward and backward, are done on the sums of the products while these
// are in the cache: the hidden layer is the widest array of a Transformer, and nothing passes over it once more.
//                                                                          Vaswani et al. 2017, eq. 2; article 003 §5.2.
#include "ops/feed_forward.h"

#include "core/grad.h"
#include "ops/dropout.h"
#include "ops/linear.h"

namespace attendo {
namespace {

struct FeedForwardSaved {
  Tensor x, weight1, bias1, weight2, bias2, hidden, before;
  Activation activation;
  double dropout;
  std::uint64_t stream;
  Index rows, in, width, out;
};

template <typename T>
void set_dropout(Epilogue<T>& e, const FeedForwardSaved& s) {
  e.dropout = true;
  e.stream = s.stream;
  e.drop_below = drop_threshold(s.dropout);
  e.keep_scale = keep_scale<T>(s.dropout);
}

template <typename T>
void feed_forward_forward(T* y, const FeedForwardSaved& s) {
  Epilogue<T> e;
  e.activation = s.activation;
  if (s.before) e.before = s.before.data<T>();
  if (s.dropout > 0) set_dropout(e, s);
  linear_forward<T>(s.hidden.data<T>(), s.x.data<T>(), s.weight1.data<T>(), data_or_null<T>(s.bias1), s.rows, s.in,
                    s.width, e);
  linear_forward<T>(y, s.hidden.data<T>(), s.weight2.data<T>(), data_or_null<T>(s.bias2), s.rows, s.width, s.out);
}

// One linear layer's gradients of its parameters, and d_x where it is not null.
template <typename T>
void layer_backward(T* d_x, const Tensor& weight, const Tensor& bias, const T* d_y, const T* x, Index rows, Index in,
                    Index out, const Epilogue<T>& epilogue) {
  GradTarget d_weight, d_bias;
  if (weight.requires_grad()) d_weight = grad_target(weight);
  if (bias && bias.requires_grad()) d_bias = grad_target(bias);
  linear_backward<T>(d_x, data_or_null<T>(d_weight.buffer), d_weight.add, data_or_null<T>(d_bias.buffer), d_bias.add,
                     d_y, x, weight.data<T>(), rows, in, out, epilogue);
}

template <typename T>
void feed_forward_backward(T* d_x, const T* d_y, const FeedForwardSaved& s) {
  Scratch<T> d_z(static_cast<size_t>(s.rows * s.width));
  Epilogue<T> e;
  e.gate_activation = s.activation;
  if (s.activation == Activation::kNone) {
    if (s.dropout > 0) set_dropout(e, s);
  } else if (s.activation == Activation::kRelu) {
    // What was dropped has h = 0, as what relu cut off has.
    e.gate = s.hidden.data<T>();
    if (s.dropout > 0) e.keep_scale = keep_scale<T>(s.dropout);
  } else {
    e.gate = s.before.data<T>();
    if (s.dropout > 0) set_dropout(e, s);
  }
  layer_backward<T>(d_z.get(), s.weight2, s.bias2, d_y, s.hidden.data<T>(), s.rows, s.width, s.out, e);
  layer_backward<T>(d_x, s.weight1, s.bias1, d_z.get(), s.x.data<T>(), s.rows, s.in, s.width, {});
}

}  // namespace

Tensor feed_forward(const Tensor& x, const Tensor& weight1, const Tensor& bias1, const Tensor& weight2,
                    const Tensor& bias2, Activation activation, double dropout, Generator* generator) {
  const auto apart = [](const Tensor& w) { return w.dtype() == DType::kInt8 || w.low_rank() || w.impl()->observer; };
  if (apart(weight1) || apart(weight2)) {
    const Tensor hidden = linear(x, weight1, bias1, activation);
    return linear(dropout > 0 && generator != nullptr ? attendo::dropout(hidden, dropout, *generator) : hidden, weight2,
                  bias2);
  }
  check_linear("feed_forward", "x", x, "weight1", weight1, "bias1", bias1);
  check_float("feed_forward", "weight2", weight2);
  check_rank("feed_forward", "weight2", weight2, 2, "(out, hidden)");
  check_same_dtype("feed_forward", "weight2", weight2, "x", x);
  if (weight2.dim(1) != weight1.dim(0)) {
    value_error("feed_forward: weight2 has shape ", weight2.shape(), " but weight1 of shape ", weight1.shape(),
                " gives ", weight1.dim(0), " hidden features");
  }
  if (bias2) {
    check_float("feed_forward", "bias2", bias2);
    check_same_dtype("feed_forward", "bias2", bias2, "x", x);
    check_shape("feed_forward", "bias2", bias2, {weight2.dim(0)});
  }
  if (!(dropout >= 0 && dropout <= 1)) value_error("feed_forward: dropout is ", dropout, " but must be 0 to 1");
  if (dropout > 0 && generator == nullptr) value_error("feed_forward: dropout needs generator=");

  FeedForwardSaved s{x, weight1, bias1, weight2, bias2, {}, {}, activation, dropout, 0, 0, 0, 0, 0};
  s.rows = x.shape().product(0, x.rank() - 1);
  s.in = weight1.dim(1), s.width = weight1.dim(0), s.out = weight2.dim(0);
  if (dropout > 0) {
    // The product's epilogue draws whole vectors of random bits, none across two rows of the hidden layer.
    const Index lanes =
        x.dtype() == DType::kFloat32 ? kernels::gemm_kernels<float>().lanes : kernels::gemm_kernels<double>().lanes;
    if (s.width % lanes != 0 || dropout == 1) {
      const Tensor hidden = linear(x, weight1, bias1, activation);
      return linear(attendo::dropout(hidden, dropout, *generator), weight2, bias2);
    }
    s.stream = generator->next_stream();
  }
  const bool tracked = needs_grad({&x, &weight1, &bias1, &weight2, &bias2});
  Shape shape = x.shape();
  shape[-1] = s.width;
  s.hidden = Tensor::empty(shape, x.dtype());
  if (tracked && needs_input(activation)) s.before = Tensor::empty(shape, x.dtype());
  shape[-1] = s.out;
  Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float("feed_forward", "x", x, [&](auto zero) {
    using T = decltype(zero);
    feed_forward_forward<T>(y.data<T>(), s);
  });
  if (!tracked) return y;
  record("feed_forward", {x, weight1, bias1, weight2, bias2}, {y}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through({s.x, s.weight1, s.bias1, s.weight2, s.bias2}, d, [&s](const Tensors& p) -> Tensors {
        const Tensor hidden = linear(p[0], p[1], p[2], s.activation);
        return {linear(s.dropout > 0 ? attendo::dropout(hidden, s.dropout, s.stream) : hidden, p[3], p[4])};
      });
    }
    Tensor d_x;
    if (s.x.requires_grad()) d_x = Tensor::empty(s.x.shape(), s.x.dtype());
    dispatch_float("feed_forward", "x", s.x, [&](auto zero) {
      using T = decltype(zero);
      feed_forward_backward<T>(d_x ? d_x.data<T>() : nullptr, d[0].data<T>(), s);
    });
    accumulate(s.x, d_x);
  });
  return y;
}

}  // namespace attendo

// The position-wise feed-forward network
//
//   y = W_2 dropout(f(W_1 x + b_1)) + b_2                       f = relu, gelu, silu
//   y = W_2 dropout(a ⊗ f(g)) + b_2,   [a | g] = W_1 x + b_1     with a gate: half of W_1 makes a, half g
//
// x, y: (…, d_model).  W_1: (dff, d_model), with a gate (2 dff, d_model).  W_2: (d_model, dff).
//                                                                              Vaswani et al. 2017, eq. 2; Shazeer 2020.
#include "nn/feed_forward.h"

#include "core/cost.h"
#include "nn/adapter.h"
#include "ops/feed_forward.h"

namespace attendo::nn {

FeedForwardKind feed_forward_kind(const char* layer, const std::string& activation) {
  const std::pair<const char*, FeedForwardKind> kinds[] = {
      {"relu", {Activation::kRelu}},
      {"gelu", {Activation::kGelu}},
      {"gelu_tanh", {Activation::kGeluTanh}},
      {"silu", {Activation::kSilu}},
      {"glu", {Activation::kNone, GateActivation::kSigmoid}},
      {"reglu", {Activation::kNone, GateActivation::kRelu}},
      {"geglu", {Activation::kNone, GateActivation::kGelu}},
      {"geglu_tanh", {Activation::kNone, GateActivation::kGeluTanh}},
      {"swiglu", {Activation::kNone, GateActivation::kSilu}},
  };
  for (const auto& [name, kind] : kinds) {
    if (activation == name) return kind;
  }
  value_error(layer, ": activation is '", activation,
              "' but must be 'relu', 'gelu', 'gelu_tanh' or 'silu', or with a gate 'glu', 'reglu', 'geglu', "
              "'geglu_tanh' or 'swiglu'");
}

FeedForward::FeedForward(Index d_model, Index dff, double dropout, const std::string& activation, DType dtype,
                         bool bias)
    : activation_(activation),
      kind_(feed_forward_kind("FeedForward", activation)),
      linear1_(std::make_shared<Linear>(d_model, kind_.gate ? 2 * dff : dff, bias, dtype)),
      linear2_(std::make_shared<Linear>(dff, d_model, bias, dtype)),
      dropout_(std::make_shared<Dropout>(dropout)) {
  register_module("linear1", linear1_);
  register_module("dropout", dropout_);
  register_module("linear2", linear2_);
}

Tensor FeedForward::operator()(const Tensor& x) {
  CostScope scope(this);
  check_input("FeedForward", "x", x, 0, linear1_->weight().dim(1), float_dtype(linear1_->weight()));
  if (kind_.gate) return scope.gives(adapted(*this, (*linear2_)((*dropout_)(glu((*linear1_)(x), *kind_.gate)))));
  const bool drop = dropout_->training() && dropout_->p() > 0;
  const Tensor y = feed_forward(x, linear1_->weight(), linear1_->bias(), linear2_->weight(), linear2_->bias(),
                                kind_.activation, drop ? dropout_->p() : 0.0, drop ? &dropout_->generator() : nullptr);
  return scope.gives(adapted(*this, y));
}

std::string FeedForward::extra_repr() const { return "activation='" + activation_ + "'"; }

}  // namespace attendo::nn

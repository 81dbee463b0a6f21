// The position-wise feed-forward network
//
//   y = W_2 dropout(f(W_1 x + b_1)) + b_2,   f = relu or gelu
//
// x, y: (…, d_model).  W_1: (dff, d_model).  W_2: (d_model, dff).   Vaswani et al. 2017, eq. 2.
#include "nn/feed_forward.h"

#include "ops/feed_forward.h"

namespace attendo::nn {

Activation activation_of(const char* layer, const std::string& name) {
  if (name == "relu") return Activation::kRelu;
  if (name == "gelu") return Activation::kGelu;
  value_error(layer, ": activation is '", name, "' but must be 'relu' or 'gelu'");
}

FeedForward::FeedForward(Index d_model, Index dff, double dropout, const std::string& activation, DType dtype)
    : activation_(activation),
      kind_(activation_of("FeedForward", activation)),
      linear1_(std::make_shared<Linear>(d_model, dff, true, dtype)),
      linear2_(std::make_shared<Linear>(dff, d_model, true, dtype)),
      dropout_(std::make_shared<Dropout>(dropout)) {
  register_module("linear1", linear1_);
  register_module("dropout", dropout_);
  register_module("linear2", linear2_);
}

Tensor FeedForward::operator()(const Tensor& x) {
  check_input("FeedForward", "x", x, 0, linear1_->weight().dim(1), linear1_->weight().dtype());
  const bool drop = dropout_->training() && dropout_->p() > 0;
  return feed_forward(x, linear1_->weight(), linear1_->bias(), linear2_->weight(), linear2_->bias(), kind_,
                      drop ? dropout_->p() : 0.0, drop ? &dropout_->generator() : nullptr);
}

std::string FeedForward::extra_repr() const { return "activation='" + activation_ + "'"; }

}  // namespace attendo::nn

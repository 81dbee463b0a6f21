// Adapter
//
//   y = x + W_up f(W_down x + b_down) + b_up        W_up = 0 and b_up = 0 at first: y = x
//
// x, y: (…, d).  W_down: (r, d).  W_up: (d, r).  f: relu, gelu (either form) or silu.
//                                                             Houlsby et al. 2019, §2.1 and fig. 2.
#include "nn/adapter.h"

#include "ops/arithmetic.h"
#include "ops/feed_forward.h"

namespace attendo::nn {

Adapter::Adapter(Index d_model, Index bottleneck, const std::string& activation, DType dtype)
    : activation_(activation) {
  const FeedForwardKind kind = feed_forward_kind("adapters", activation);
  if (kind.gate) value_error("adapters: activation is '", activation, "' but must be without a gate");
  if (bottleneck < 1 || bottleneck > d_model) {
    value_error("adapters: bottleneck is ", bottleneck, " but must be 1 to ", d_model, ", the features of the layer");
  }
  function_ = kind.activation;
  make_parameter("down_weight", {bottleneck, d_model}, dtype);
  make_parameter("down_bias", {bottleneck}, dtype);
  make_parameter("up_weight", {d_model, bottleneck}, dtype);
  make_parameter("up_bias", {d_model}, dtype);
  reset_own(generator());
  seal();
}

void Adapter::reset_own(Generator& generator) {
  const auto& own = own_parameters();
  init_uniform(own[0].second, own[0].second.dim(1), generator);
  for (size_t i = 1; i < own.size(); ++i) std::fill_n(own[i].second.raw(), own[i].second.bytes(), std::byte{0});
}

Tensor Adapter::operator()(const Tensor& x) const {
  const auto& own = own_parameters();
  return add(x, feed_forward(x, own[0].second, own[1].second, own[2].second, own[3].second, function_, 0, nullptr));
}

Tensors Adapter::forward(const Tensors& inputs) {
  const Tensor& x = only_input("Adapter", inputs);
  check_input("Adapter", "x", x, 0, own_parameters()[0].second.dim(1), own_parameters()[0].second.dtype());
  return {(*this)(x)};
}

std::string Adapter::extra_repr() const {
  return concat(own_parameters()[2].second.dim(0), " -> ", bottleneck(), ", activation='", activation_, "'");
}

}  // namespace attendo::nn

#pragma once

#include <optional>

#include "nn/layers.h"
#include "ops/glu.h"

namespace attendo::nn {

// How the first linear layer ends: in an activation, or, twice as wide, in a gate.
struct FeedForwardKind {
  Activation activation = Activation::kNone;
  std::optional<GateActivation> gate{};
};
// 'relu', 'gelu', 'gelu_tanh', 'silu'; gated: 'glu', 'reglu', 'geglu', 'geglu_tanh', 'swiglu'
FeedForwardKind feed_forward_kind(const char* layer, const std::string& activation);

class FeedForward : public Module {
 public:
  FeedForward(Index d_model, Index dff, double dropout, const std::string& activation, DType dtype, bool bias = true);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("FeedForward", inputs))}; }
  std::string type_name() const override { return "FeedForward"; }
  std::string extra_repr() const override;
  Index d_model() const { return linear1_->weight().dim(1); }
  DType dtype() const { return float_dtype(linear1_->weight()); }

 private:
  std::string activation_;
  FeedForwardKind kind_;
  std::shared_ptr<Linear> linear1_, linear2_;
  std::shared_ptr<Dropout> dropout_;
};

}  // namespace attendo::nn

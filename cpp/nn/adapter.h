#pragma once

#include "nn/feed_forward.h"

namespace attendo::nn {

// A narrow network of its own behind a frozen layer. The child "adapter" of attention and of feed-forward networks.
class Adapter : public Module {
 public:
  Adapter(Index d_model, Index bottleneck, const std::string& activation, DType dtype);
  Tensor operator()(const Tensor& x) const;
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "Adapter"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;  // `down` as a linear layer's, `up` zero

  const std::string& activation() const { return activation_; }
  Index bottleneck() const { return own_parameters()[0].second.dim(0); }

 private:
  std::string activation_;
  Activation function_;
};

// What `layer` gives, through its adapter if it has one.
inline Tensor adapted(const Module& layer, const Tensor& y) {
  const auto adapter = layer.child<Adapter>("adapter");
  return adapter ? (*adapter)(y) : y;
}

}  // namespace attendo::nn

#pragma once

#include "nn/layers.h"

namespace attendo::nn {

// 'relu' or 'gelu'
Activation activation_of(const char* layer, const std::string& name);

class FeedForward : public Module {
 public:
  FeedForward(Index d_model, Index dff, double dropout, const std::string& activation, DType dtype);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("FeedForward", inputs))}; }
  std::string type_name() const override { return "FeedForward"; }
  std::string extra_repr() const override;

 private:
  std::string activation_;
  Activation kind_;
  std::shared_ptr<Linear> linear1_, linear2_;
  std::shared_ptr<Dropout> dropout_;
};

}  // namespace attendo::nn

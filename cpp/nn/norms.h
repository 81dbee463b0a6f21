// Normalisation beside layer norm and batch norm (nn/layers.h).
#pragma once

#include "nn/module.h"

namespace attendo::nn {

class RMSNorm : public Module {
 public:
  RMSNorm(Index normalized_shape, double eps, DType dtype);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("RMSNorm", inputs))}; }
  std::string type_name() const override { return "RMSNorm"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  const Tensor& weight() const { return own_parameters()[0].second; }
  double eps() const { return eps_; }

 private:
  double eps_;
};

}  // namespace attendo::nn

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

// Groups of neighbouring channels of (B, C, …).
class GroupNorm : public Module {
 public:
  GroupNorm(Index num_groups, Index num_channels, double eps, bool affine, DType dtype);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("GroupNorm", inputs))}; }
  std::string type_name() const override { return "GroupNorm"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  Index groups_, channels_;
  double eps_;
  bool affine_;
  DType dtype_;
};

}  // namespace attendo::nn

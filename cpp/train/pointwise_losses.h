#pragma once

#include "train/losses.h"

namespace attendo::train {

class MeanSquaredError : public Loss {
 public:
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::string repr() const override { return "MeanSquaredError()"; }
};

// For models whose output is each sample's loss: their mean. The target is not looked at.
class Mean : public Loss {
 public:
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::string repr() const override { return "Mean()"; }
};

}  // namespace attendo::train

#pragma once

#include "train/losses.h"

namespace attendo::train {

// Outputs (anchor, positive, negative), each (N, d). The target is not looked at.
class Triplet : public Loss {
 public:
  Triplet(double margin, double p, bool swap);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  bool needs_target() const override { return false; }
  std::string repr() const override;

  double margin() const { return margin_; }
  double p() const { return p_; }
  bool swap() const { return swap_; }

 private:
  double margin_, p_;
  bool swap_;
};

}  // namespace attendo::train

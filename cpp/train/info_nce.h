#pragma once

#include "train/losses.h"

namespace attendo::train {

// Outputs (a, b), each (N, d): row i of a belongs to row i of b; all other rows of b are its negatives. A third output (M, d)
// adds negatives. The target is not looked at.
class InfoNCE : public Loss {
 public:
  InfoNCE(double temperature, bool symmetric, bool normalize);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const override;
  bool needs_target() const override { return false; }
  std::string repr() const override;

  double temperature() const { return temperature_; }
  bool symmetric() const { return symmetric_; }
  bool normalize() const { return normalize_; }

 private:
  double temperature_;
  bool symmetric_, normalize_;
};

// SimCLR's: outputs (a, b), each (N, d); of 2N rows each has one partner and 2N - 2 negatives.
class NTXent : public Loss {
 public:
  explicit NTXent(double temperature);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  bool needs_target() const override { return false; }
  std::string repr() const override { return concat("NTXent(temperature=", temperature_, ")"); }
  double temperature() const { return temperature_; }

 private:
  double temperature_;
};

}  // namespace attendo::train

#pragma once

#include "train/losses.h"

namespace attendo::train {

// Of logits (…, V) from probabilities (…, V): the mean over the rows.
class KLDivergence : public Loss {
 public:
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::string repr() const override { return "KLDivergence()"; }
};

// A student's logits with targets (class indices, the teacher's logits).
class Distillation : public Loss {
 public:
  Distillation(double temperature, double alpha, std::optional<Index> ignore_index);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const override;
  std::string repr() const override;

  double temperature() const { return temperature_; }
  double alpha() const { return alpha_; }
  std::optional<Index> ignore_index() const { return ignore_index_; }

 private:
  double temperature_, alpha_;
  std::optional<Index> ignore_index_;
};

}  // namespace attendo::train

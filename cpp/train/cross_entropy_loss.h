#pragma once

#include "train/losses.h"

namespace attendo::train {

class CrossEntropy : public Loss {
 public:
  CrossEntropy(std::optional<Index> ignore_index, double label_smoothing);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const override;
  std::string repr() const override;

  std::optional<Index> ignore_index() const { return ignore_index_; }
  double label_smoothing() const { return label_smoothing_; }

 private:
  std::optional<Index> ignore_index_;
  double label_smoothing_;
};

}  // namespace attendo::train

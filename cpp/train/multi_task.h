#pragma once

#include "train/losses.h"

namespace attendo::train {

// The loss of several tasks: the k-th compares the k-th output with the k-th target.
class MultiTask : public Loss {
 public:
  using Losses = std::vector<std::pair<std::string, std::shared_ptr<Loss>>>;
  // Without weights each counts once; `uncertainty`: the weights are learned. Names may be empty.
  MultiTask(Losses losses, std::vector<double> weights, bool uncertainty);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::vector<std::pair<std::string, Tensor>> parameters() const override;
  std::string repr() const override;

  const Losses& losses() const { return losses_; }
  const std::vector<double>& weights() const { return weights_; }
  bool uncertainty() const { return log_variance_.defined(); }
  const Tensor& log_variance() const { return log_variance_; }

 private:
  Losses losses_;
  std::vector<double> weights_;
  Tensor log_variance_;  // (K,) s
};

}  // namespace attendo::train

#pragma once

#include "ops/cross_entropy.h"
#include "train/losses.h"

namespace attendo::train {

class CrossEntropy : public Loss {
 public:
  // sample_weight of the options stays undefined.
  explicit CrossEntropy(const CrossEntropyOptions& options);
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;
  std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const override;
  std::string repr() const override;
  const CrossEntropyOptions& options() const { return options_; }

 private:
  CrossEntropyOptions with(const Tensor& sample_weight) const;
  CrossEntropyOptions options_;
};

// How many logits are largest at their target, and how many targets are not ignored.
std::pair<double, double> count_correct(const char* op, const Tensor& logits, const Tensor& target,
                                        std::optional<Index> ignore_index);

}  // namespace attendo::train

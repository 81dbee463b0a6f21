#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "core/autograd.h"

namespace attendo::train {

// A loss is one number for a batch, made of one mean or of several. It never shifts labels and never broadcasts.
//
// Parts of a batch add up: with the same `totals`, Σ part(micro-batch) = part(batch), whatever the sizes and weights are.
// outputs: all that the model gave; a loss of one output looks at the first. sample_weight: (samples,), or undefined.
class Loss {
 public:
  virtual ~Loss() = default;

  // How much the batch counts in each of the means, known from the targets alone.
  virtual std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const = 0;
  // The batch's sums divided by `totals`, a number a mean: the counts of all that one step is made of.
  virtual Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                      const std::vector<double>& totals) const = 0;
  // The loss of a batch that is all there is.
  Tensor forward(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight = {}) const;

  // How many predictions are right, and of how many; nothing where that is not defined (no class indices).
  virtual std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const;
  // False for a loss that compares outputs with one another: of the target it asks how many samples there are.
  virtual bool needs_target() const { return true; }
  // What the loss itself learns.
  virtual std::vector<std::pair<std::string, Tensor>> parameters() const { return {}; }
  virtual std::string repr() const = 0;
};

}  // namespace attendo::train

#pragma once

#include <memory>
#include <optional>

#include "core/autograd.h"

namespace attendo::train {

// A loss is one number for a batch. It never shifts labels and never broadcasts.
class Loss {
 public:
  virtual ~Loss() = default;
  virtual Tensor forward(const Tensor& prediction, const Tensor& target) const = 0;
  // How many predictions of the batch count: the weight of its mean.
  virtual Index count(const Tensor& target) const = 0;
  // How many of them are right, where that is defined (class indices); below 0 where not.
  virtual Index correct(const Tensor&, const Tensor&) const { return -1; }
  virtual std::string repr() const = 0;
};

class CrossEntropy : public Loss {
 public:
  CrossEntropy(std::optional<Index> ignore_index, double label_smoothing);
  Tensor forward(const Tensor& logits, const Tensor& target) const override;
  Index count(const Tensor& target) const override;
  Index correct(const Tensor& logits, const Tensor& target) const override;
  std::string repr() const override;

 private:
  std::optional<Index> ignore_index_;
  double label_smoothing_;
};

class MeanSquaredError : public Loss {
 public:
  Tensor forward(const Tensor& prediction, const Tensor& target) const override;
  Index count(const Tensor& target) const override { return target.size(); }
  std::string repr() const override { return "MeanSquaredError()"; }
};

// For models whose output is each sample's loss: their mean. The target is not looked at.
class Mean : public Loss {
 public:
  Tensor forward(const Tensor& losses, const Tensor& target) const override;
  Index count(const Tensor& target) const override { return target.dim(0); }
  std::string repr() const override { return "Mean()"; }
};

}  // namespace attendo::train

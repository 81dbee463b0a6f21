#pragma once

#include "train/losses.h"

namespace attendo::train {

// The mean over all numbers of the prediction; the target has its shape.
class PointwiseLoss : public Loss {
 public:
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override;
  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override;

 protected:
  virtual const char* name() const = 0;
  virtual Tensor terms(const Tensor& prediction, const Tensor& target) const = 0;
  // What the target stands for, in the prediction's dtype.
  virtual Tensor as_float(const Tensor& target, DType) const { return target; }
};

class MeanSquaredError : public PointwiseLoss {
 public:
  std::string repr() const override { return "MeanSquaredError()"; }

 protected:
  const char* name() const override { return "MeanSquaredError"; }
  Tensor terms(const Tensor& prediction, const Tensor& target) const override;
};

class MeanAbsoluteError : public PointwiseLoss {
 public:
  std::string repr() const override { return "MeanAbsoluteError()"; }

 protected:
  const char* name() const override { return "MeanAbsoluteError"; }
  Tensor terms(const Tensor& prediction, const Tensor& target) const override;
};

class Huber : public PointwiseLoss {
 public:
  explicit Huber(double delta);
  double delta() const { return delta_; }
  std::string repr() const override { return concat("Huber(delta=", delta_, ")"); }

 protected:
  const char* name() const override { return "Huber"; }
  Tensor terms(const Tensor& prediction, const Tensor& target) const override;

 private:
  double delta_;
};

// Of logits. pos_weight: undefined, (), or (C,) for the last axis.
class BinaryCrossEntropy : public PointwiseLoss {
 public:
  explicit BinaryCrossEntropy(const Tensor& pos_weight);
  std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const override;
  const Tensor& pos_weight() const { return pos_weight_; }
  std::string repr() const override;

 protected:
  const char* name() const override { return "BinaryCrossEntropy"; }
  Tensor terms(const Tensor& prediction, const Tensor& target) const override;
  Tensor as_float(const Tensor& target, DType dtype) const override;

 private:
  Tensor pos_weight_;
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

// Losses of one number at a time: L = Σ w l(ŷ, y) / Σ w over all numbers of all samples, w the weight of the sample or 1
//
//   mean squared error     l = (ŷ - y)²                                   dl/dŷ = 2 (ŷ - y)
//   mean absolute error    l = |ŷ - y|                                    dl/dŷ = sign(ŷ - y)
//   Huber                  l = ½ a² if a <= δ, else δ (a - ½ δ)           dl/dŷ = sign(ŷ - y) min(a, δ),   a = |ŷ - y|
//   binary cross-entropy   l = (1 - y) ŷ + (1 + (u - 1) y) log(1 + e^-ŷ)  dl/dŷ = (1 - y) - (1 + (u - 1) y) σ(-ŷ)
//   mean                   l = ŷ, a number a sample
//
// Of binary cross-entropy ŷ is a logit and u the weight of the positives: l = -u y log σ(ŷ) - (1 - y) log(1 - σ(ŷ)).
// Huber 1964, eq. 2.6.
#include "train/pointwise_losses.h"

#include <cmath>

#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"
#include "train/loss_terms.h"

namespace attendo::train {
namespace {

Tensor absolute(const Tensor& x) { return add(relu(x), relu(scale(x, -1))); }

}  // namespace

std::vector<double> PointwiseLoss::counts(const Tensors& targets, const Tensor& sample_weight) const {
  const Tensor& target = only_target(name(), targets);
  const double each = static_cast<double>(target.shape().product(std::min(1, target.rank()), target.rank()));
  return {weighted_samples(name(), target, sample_weight, each)};
}

Tensor PointwiseLoss::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                           const std::vector<double>& totals) const {
  const Tensor& prediction = first_output(name(), outputs);
  check_float(name(), "prediction", prediction);
  const Tensor target = as_float(only_target(name(), targets), prediction.dtype());
  check_shape(name(), "target", target, prediction.shape());
  check_same_dtype(name(), "target", target, "prediction", prediction);
  return weighted_sum(name(), terms(prediction, target), sample_weight, totals[0]);
}

Tensor MeanSquaredError::terms(const Tensor& prediction, const Tensor& target) const {
  const Tensor difference = subtract(prediction, target);
  return multiply(difference, difference);
}

Tensor MeanAbsoluteError::terms(const Tensor& prediction, const Tensor& target) const {
  return absolute(subtract(prediction, target));
}

Huber::Huber(double delta) : delta_(delta) {
  if (!(delta > 0) || std::isinf(delta)) value_error("Huber: delta is ", delta, " but must be finite and above 0");
}

Tensor Huber::terms(const Tensor& prediction, const Tensor& target) const {
  const Tensor a = absolute(subtract(prediction, target));
  const Tensor beyond = relu(add_scalar(a, -delta_));
  const Tensor within = subtract(a, beyond);  // min(a, δ)
  return add(scale(multiply(within, within), 0.5), scale(beyond, delta_));
}

BinaryCrossEntropy::BinaryCrossEntropy(const Tensor& pos_weight) : pos_weight_(pos_weight) {
  if (!pos_weight) return;
  check_float("BinaryCrossEntropy", "pos_weight", pos_weight);
  if (pos_weight.rank() > 1) {
    value_error("BinaryCrossEntropy: pos_weight has shape ", pos_weight.shape(), " but must be a number or (classes,)");
  }
  const Tensor u = pos_weight.to(DType::kFloat64);
  for (Index i = 0; i < u.size(); ++i) {
    const double value = u.data<double>()[i];
    if (!(value >= 0) || std::isinf(value)) {
      value_error("BinaryCrossEntropy: pos_weight holds ", value, " but must hold finite numbers from 0");
    }
  }
}

Tensor BinaryCrossEntropy::as_float(const Tensor& target, DType dtype) const {
  const bool whole = target.dtype() == DType::kInt64 || target.dtype() == DType::kBool;
  const Tensor y = whole ? target.to(dtype) : target;
  dispatch_float("BinaryCrossEntropy", "target", y, [&](auto zero) {
    for (Index i = 0; i < y.size(); ++i) {
      const auto value = y.data<decltype(zero)>()[i];
      if (!(value >= 0 && value <= 1)) {
        value_error("BinaryCrossEntropy: target holds ", value, " but must hold 0 to 1");
      }
    }
  });
  return y;
}

Tensor BinaryCrossEntropy::terms(const Tensor& z, const Tensor& y) const {
  const Tensor no = multiply(add_scalar(scale(y, -1), 1), z);
  const Tensor loss = softplus(scale(z, -1));
  if (!pos_weight_) return add(no, loss);
  if (pos_weight_.rank() == 1) {
    check_min_rank("BinaryCrossEntropy", "prediction", z, 1, "(..., classes)");
    if (pos_weight_.dim(0) != z.dim(-1)) {
      value_error("BinaryCrossEntropy: pos_weight has ", pos_weight_.dim(0), " classes but prediction has ", z.dim(-1));
    }
  }
  const Tensor u = add_scalar(pos_weight_.to(z.dtype()), -1);
  return add(no, multiply(add_scalar(multiply(y, u), 1), loss));
}

std::optional<std::pair<double, double>> BinaryCrossEntropy::correct(const Tensors& outputs,
                                                                     const Tensors& targets) const {
  const Tensor& z = first_output(name(), outputs);
  const Tensor y = as_float(only_target(name(), targets), z.dtype());
  check_shape(name(), "target", y, z.shape());
  Index right = 0;
  dispatch_float(name(), "prediction", z, [&](auto zero) {
    using T = decltype(zero);
    for (Index i = 0; i < z.size(); ++i) right += (z.data<T>()[i] > T(0)) == (y.data<T>()[i] > T(0.5));
  });
  return std::pair(static_cast<double>(right), static_cast<double>(z.size()));
}

std::string BinaryCrossEntropy::repr() const {
  return concat("BinaryCrossEntropy(", pos_weight_ ? concat("pos_weight=", numbers(pos_weight_)) : "", ")");
}

std::vector<double> Mean::counts(const Tensors& targets, const Tensor& sample_weight) const {
  const Tensor& target = only_target("Mean", targets);
  check_min_rank("Mean", "target", target, 1, "(samples, ...)");
  return {weighted_samples("Mean", target, sample_weight)};
}

Tensor Mean::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                  const std::vector<double>& totals) const {
  const Tensor& losses = first_output("Mean", outputs);
  check_float("Mean", "prediction", losses);
  check_shape("Mean", "prediction", losses, {only_target("Mean", targets).dim(0)});
  return weighted_sum("Mean", losses, sample_weight, totals[0]);
}

}  // namespace attendo::train

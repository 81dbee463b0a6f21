// Losses of one number at a time
//
//   mean squared error   L = Σ w (ŷ - y)² / Σ w      dŷ = 2 w (ŷ - y) / Σ w
//   mean                 L = Σ w ŷ / Σ w             dŷ = w / Σ w
//
// w: 1, or the weight of the sample.
#include "train/pointwise_losses.h"

#include "ops/arithmetic.h"
#include "train/loss_terms.h"

namespace attendo::train {

std::vector<double> MeanSquaredError::counts(const Tensors& targets, const Tensor& sample_weight) const {
  const Tensor& target = only_target("MeanSquaredError", targets);
  return {weighted_samples("MeanSquaredError", target, sample_weight,
                           static_cast<double>(target.shape().product(std::min(1, target.rank()), target.rank())))};
}

Tensor MeanSquaredError::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                              const std::vector<double>& totals) const {
  const Tensor& prediction = first_output("MeanSquaredError", outputs);
  const Tensor& target = only_target("MeanSquaredError", targets);
  check_float("MeanSquaredError", "prediction", prediction);
  check_shape("MeanSquaredError", "target", target, prediction.shape());
  const Tensor difference = subtract(prediction, target);
  return weighted_sum("MeanSquaredError", multiply(difference, difference), sample_weight, totals[0]);
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

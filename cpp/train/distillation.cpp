// Knowledge distillation
//
//   KL divergence   L = Σ_i w_i Σ_v t_iv (log t_iv - log softmax(z_i)_v) / Σ_i w_i        dz_iv = w_i (softmax(z_i)_v - t_iv) / Σ w
//   distillation    L = α T² KL(softmax(y / T) ‖ softmax(z / T)) + (1 - α) cross-entropy(z, c)
//
// z: logits (rows, V), t: probabilities that sum to 1, y: the teacher's logits, c: class indices, w: the weight of the sample.
// A probability of 0 adds nothing. T² keeps the gradients of the two terms of one size.
// Hinton, Vinyals and Dean 2015, §2.
#include "train/distillation.h"

#include <cmath>

#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "train/cross_entropy_loss.h"
#include "train/loss_terms.h"

namespace attendo::train {
namespace {

// The divergence of each row (…) for t, log t and logits (…, V).
Tensor row_divergence(const Tensor& t, const Tensor& log_t, const Tensor& logits) {
  const Tensor positive = Tensor::full(t.shape(), DType::kBool, 0);
  dispatch_float("KLDivergence", "target", t, [&](auto zero) {
    for (Index i = 0; i < t.size(); ++i) positive.data<bool>()[i] = t.data<decltype(zero)>()[i] > 0;
  });
  const Tensor gap = subtract(select(log_t, positive), select(log_softmax(logits), positive));
  return sum(multiply(t, gap), std::vector<int>{-1});
}

Index samples_of(const Shape& rows) { return rows.rank() == 0 ? 1 : rows[0]; }

}  // namespace

std::vector<double> KLDivergence::counts(const Tensors& targets, const Tensor& sample_weight) const {
  const Tensor& target = only_target("KLDivergence", targets);
  check_float("KLDivergence", "target", target);
  CrossEntropyOptions options;
  options.sample_weight = sample_weight;
  return {cross_entropy_count(target, options)};
}

Tensor KLDivergence::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                          const std::vector<double>& totals) const {
  const Tensor& logits = first_output("KLDivergence", outputs);
  const Tensor target = only_target("KLDivergence", targets).detach();
  check_float("KLDivergence", "prediction", logits);
  check_min_rank("KLDivergence", "prediction", logits, 1, "(..., V)");
  check_shape("KLDivergence", "target", target, logits.shape());
  check_same_dtype("KLDivergence", "target", target, "prediction", logits);
  dispatch_float("KLDivergence", "target", target, [&](auto zero) {
    const Index classes = target.dim(-1);
    double total = 0;  // of a row
    for (Index i = 0; i < target.size(); ++i) {
      const auto t = target.data<decltype(zero)>()[i];
      if (!(t >= 0) || std::isinf(t)) value_error("KLDivergence: target holds ", t, " but must hold probabilities");
      total = i % classes == 0 ? t : total + t;
      if (total > 1 + 1e-3) {  // what rounding may add
        value_error("KLDivergence: target has probabilities that sum to more than 1 in row ", i / classes,
                    " but must sum to at most 1");
      }
    }
  });
  return weighted_sum("KLDivergence", row_divergence(target, log(target), logits), sample_weight, totals[0]);
}

Distillation::Distillation(double temperature, double alpha, std::optional<Index> ignore_index)
    : temperature_(temperature), alpha_(alpha), ignore_index_(ignore_index) {
  if (!(temperature > 0) || std::isinf(temperature)) {
    value_error("Distillation: temperature is ", temperature, " but must be finite and above 0");
  }
  if (!(alpha >= 0 && alpha <= 1)) value_error("Distillation: alpha is ", alpha, " but must be 0 to 1");
}

namespace {

void check_pair(const Tensors& targets) {
  if (targets.size() != 2) {
    value_error("Distillation: takes two targets, class indices and the teacher's logits, but there are ",
                targets.size());
  }
  check_defined("Distillation", "target", targets[0]);
  if (targets[0].dtype() != DType::kInt64) {
    type_error("Distillation: the first target has dtype ", dtype_name(targets[0].dtype()),
               " but must hold class indices");
  }
}

}  // namespace

std::vector<double> Distillation::counts(const Tensors& targets, const Tensor& sample_weight) const {
  check_pair(targets);
  CrossEntropyOptions options;
  options.ignore_index = ignore_index_, options.sample_weight = sample_weight;
  return {cross_entropy_count(targets[0], options)};
}

Tensor Distillation::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                          const std::vector<double>& totals) const {
  check_pair(targets);
  const Tensor& logits = first_output("Distillation", outputs);
  const Tensor& labels = targets[0];
  const Tensor teacher = targets[1].detach();
  CrossEntropyOptions options;
  options.ignore_index = ignore_index_, options.sample_weight = sample_weight;
  const Tensor hard = cross_entropy_over(logits, labels, totals[0], options);
  check_shape("Distillation", "the teacher's logits", teacher, logits.shape());
  check_same_dtype("Distillation", "the teacher's logits", teacher, "prediction", logits);

  const Shape rows = labels.shape();
  const Tensor counted = Tensor::full(logits.shape(), DType::kBool, 1);
  const Index n = logits.dim(-1);
  for (Index r = 0; ignore_index_ && r < labels.size(); ++r) {
    std::fill_n(counted.data<bool>() + r * n, n, labels.data<std::int64_t>()[r] != *ignore_index_);
  }
  // An ignored row stands for logits of 0 of both: they do not diverge.
  const Tensor y = scale(select(teacher, counted), 1 / temperature_);
  const Tensor z = scale(ignore_index_ ? select(logits, counted) : logits, 1 / temperature_);
  const Tensor divergence = row_divergence(softmax(y), log_softmax(y), z);
  const Tensor soft = weighted_sum(
      "Distillation", reshape(divergence, {samples_of(rows), rows.size() / std::max<Index>(1, samples_of(rows))}),
      sample_weight, totals[0]);
  return add(scale(soft, alpha_ * temperature_ * temperature_), scale(hard, 1 - alpha_));
}

std::optional<std::pair<double, double>> Distillation::correct(const Tensors& outputs, const Tensors& targets) const {
  check_pair(targets);
  return count_correct("Distillation", first_output("Distillation", outputs), targets[0], ignore_index_);
}

std::string Distillation::repr() const {
  return concat("Distillation(temperature=", temperature_, ", alpha=", alpha_,
                ignore_index_ ? concat(", ignore_index=", *ignore_index_) : "", ")");
}

}  // namespace attendo::train

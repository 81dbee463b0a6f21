// Cross-entropy as a loss; the formula is that of ops/cross_entropy.cpp
#include "train/cross_entropy_loss.h"

#include <cmath>

#include "ops/reduce.h"
#include "train/loss_terms.h"

namespace attendo::train {

CrossEntropy::CrossEntropy(const CrossEntropyOptions& options) : options_(options) {
  const double smoothing = options.label_smoothing;
  if (!(smoothing >= 0 && smoothing <= 1)) {
    value_error("CrossEntropy: label_smoothing is ", smoothing, " but must be 0 to 1");
  }
  if (!options.weight) return;
  check_float("CrossEntropy", "weight", options.weight);
  check_rank("CrossEntropy", "weight", options.weight, 1, "(classes,)");
  const Tensor weight = options.weight.to(DType::kFloat64);
  for (Index i = 0; i < weight.size(); ++i) {
    const double w = weight.data<double>()[i];
    if (!(w >= 0) || std::isinf(w))
      value_error("CrossEntropy: weight holds ", w, " but must hold finite numbers from 0");
  }
  check_some_weight("CrossEntropy", weight);
}

CrossEntropyOptions CrossEntropy::with(const Tensor& sample_weight) const {
  CrossEntropyOptions options = options_;
  options.sample_weight = sample_weight;
  return options;
}

std::vector<double> CrossEntropy::counts(const Tensors& targets, const Tensor& sample_weight) const {
  return {cross_entropy_count(only_target("CrossEntropy", targets), with(sample_weight))};
}

Tensor CrossEntropy::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                          const std::vector<double>& totals) const {
  return cross_entropy_over(first_output("CrossEntropy", outputs), only_target("CrossEntropy", targets), totals[0],
                            with(sample_weight));
}

std::optional<std::pair<double, double>> CrossEntropy::correct(const Tensors& outputs, const Tensors& targets) const {
  return count_correct("CrossEntropy", first_output("CrossEntropy", outputs), only_target("CrossEntropy", targets),
                       options_.ignore_index);
}

std::pair<double, double> count_correct(const char* op, const Tensor& logits, const Tensor& target,
                                        std::optional<Index> ignore_index) {
  const NoGrad no_grad;
  const Tensor guess = argmax_last(logits);
  const Tensor truth = target.dtype() == DType::kInt64 ? target : argmax_last(target);
  check_shape(op, "target", truth, guess.shape());
  Index right = 0, counted = 0;
  for (Index i = 0; i < truth.size(); ++i) {
    const std::int64_t c = truth.data<std::int64_t>()[i];
    if (ignore_index && c == *ignore_index) continue;
    ++counted;
    right += guess.data<std::int64_t>()[i] == c;
  }
  return {static_cast<double>(right), static_cast<double>(counted)};
}

std::string CrossEntropy::repr() const {
  const auto& [ignore, smoothing, weight, _] = options_;
  return concat("CrossEntropy(ignore_index=", ignore ? std::to_string(*ignore) : "None",
                ", label_smoothing=", smoothing, weight ? concat(", weight=", numbers(weight)) : "", ")");
}

}  // namespace attendo::train

// Cross-entropy as a loss; the formula is that of ops/cross_entropy.cpp
#include "train/cross_entropy_loss.h"

#include <algorithm>

#include "ops/cross_entropy.h"
#include "ops/reduce.h"
#include "train/loss_terms.h"

namespace attendo::train {

CrossEntropy::CrossEntropy(std::optional<Index> ignore_index, double label_smoothing)
    : ignore_index_(ignore_index), label_smoothing_(label_smoothing) {
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    value_error("CrossEntropy: label_smoothing is ", label_smoothing, " but must be 0 to 1");
  }
}

std::vector<double> CrossEntropy::counts(const Tensors& targets, const Tensor& sample_weight) const {
  const Tensor& target = only_target("CrossEntropy", targets);
  const bool by_index = target.dtype() == DType::kInt64;
  if (!by_index) check_min_rank("CrossEntropy", "target", target, 1, "(..., V)");
  const Index rows = by_index ? target.size() : target.shape().product(0, target.rank() - 1);
  const Index samples = target.rank() == (by_index ? 0 : 1) ? 1 : target.dim(0);
  const std::vector<double> weights = sample_weights("CrossEntropy", sample_weight, samples);
  auto counted = [&](Index begin, Index end) {
    if (!by_index || !ignore_index_) return static_cast<double>(end - begin);
    const std::int64_t* c = target.data<std::int64_t>();
    return static_cast<double>(end - begin - std::count(c + begin, c + end, *ignore_index_));
  };
  if (weights.empty()) return {counted(0, rows)};
  double total = 0;
  const Index each = samples == 0 ? 0 : rows / samples;
  for (Index i = 0; i < samples; ++i) total += weights[static_cast<size_t>(i)] * counted(i * each, (i + 1) * each);
  return {total};
}

Tensor CrossEntropy::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                          const std::vector<double>& totals) const {
  const Tensor& logits = first_output("CrossEntropy", outputs);
  const Tensor& target = only_target("CrossEntropy", targets);
  if (!sample_weight) return cross_entropy_over(logits, target, totals[0], ignore_index_, label_smoothing_);
  const Tensor rows = cross_entropy(logits, target, ignore_index_, label_smoothing_, Reduction::kNone);
  return weighted_sum("CrossEntropy", rows, sample_weight, totals[0]);
}

std::optional<std::pair<double, double>> CrossEntropy::correct(const Tensors& outputs, const Tensors& targets) const {
  const NoGrad no_grad;
  const Tensor guess = argmax_last(first_output("CrossEntropy", outputs));
  const Tensor& target = only_target("CrossEntropy", targets);
  const Tensor truth = target.dtype() == DType::kInt64 ? target : argmax_last(target);
  Index right = 0, counted = 0;
  for (Index i = 0; i < truth.size(); ++i) {
    const std::int64_t c = truth.data<std::int64_t>()[i];
    if (ignore_index_ && c == *ignore_index_) continue;
    ++counted;
    right += guess.data<std::int64_t>()[i] == c;
  }
  return std::pair(static_cast<double>(right), static_cast<double>(counted));
}

std::string CrossEntropy::repr() const {
  return concat("CrossEntropy(ignore_index=", ignore_index_ ? std::to_string(*ignore_index_) : "None",
                ", label_smoothing=", label_smoothing_, ")");
}

}  // namespace attendo::train

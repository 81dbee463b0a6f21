// Losses
//
//   cross-entropy        see ops/cross_entropy.cpp
//   mean squared error   L = Σ (ŷ - y)² / n      dŷ = 2 (ŷ - y) / n
//   mean                 L = Σ ŷ / n             dŷ = 1 / n
#include "train/losses.h"

#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "ops/reduce.h"

namespace attendo::train {

CrossEntropy::CrossEntropy(std::optional<Index> ignore_index, double label_smoothing)
    : ignore_index_(ignore_index), label_smoothing_(label_smoothing) {
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    value_error("CrossEntropy: label_smoothing is ", label_smoothing, " but must be 0 to 1");
  }
}

Tensor CrossEntropy::forward(const Tensor& logits, const Tensor& target) const {
  return cross_entropy(logits, target, ignore_index_, label_smoothing_);
}

Index CrossEntropy::count(const Tensor& target) const {
  if (target.dtype() != DType::kInt64) return target.shape().product(0, target.rank() - 1);
  if (!ignore_index_) return target.size();
  const std::int64_t* c = target.data<std::int64_t>();
  return target.size() - std::count(c, c + target.size(), *ignore_index_);
}

Index CrossEntropy::correct(const Tensor& logits, const Tensor& target) const {
  const NoGrad no_grad;
  const Tensor guess = argmax_last(logits);
  const Tensor truth = target.dtype() == DType::kInt64 ? target : argmax_last(target);
  Index right = 0;
  for (Index i = 0; i < truth.size(); ++i) {
    const std::int64_t c = truth.data<std::int64_t>()[i];
    if (ignore_index_ && c == *ignore_index_) continue;
    right += guess.data<std::int64_t>()[i] == c;
  }
  return right;
}

std::string CrossEntropy::repr() const {
  return concat("CrossEntropy(ignore_index=", ignore_index_ ? std::to_string(*ignore_index_) : "None",
                ", label_smoothing=", label_smoothing_, ")");
}

Tensor MeanSquaredError::forward(const Tensor& prediction, const Tensor& target) const {
  check_float("MeanSquaredError", "prediction", prediction);
  check_shape("MeanSquaredError", "target", target, prediction.shape());
  const Tensor difference = subtract(prediction, target);
  return mean(multiply(difference, difference));
}

Tensor Mean::forward(const Tensor& losses, const Tensor& target) const {
  check_float("Mean", "prediction", losses);
  check_min_rank("Mean", "target", target, 1, "(samples, ...)");
  check_shape("Mean", "prediction", losses, {target.dim(0)});
  return mean(losses);
}

}  // namespace attendo::train

#pragma once

#include <optional>

#include "core/autograd.h"

namespace attendo {

enum class Reduction { kMean, kSum, kNone };

// logits (…, V); target int64 (…) of class indices, or float (…, V) of probabilities. Rows whose index is ignore_index
// count neither in the sum nor in the mean; the mean of no rows is 0.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, std::optional<Index> ignore_index = std::nullopt,
                     double label_smoothing = 0.0, Reduction reduction = Reduction::kMean);

// The sum divided by `divisor`: part of a mean over more rows than these.
Tensor cross_entropy_over(const Tensor& logits, const Tensor& target, double divisor, std::optional<Index> ignore_index,
                          double label_smoothing);

}  // namespace attendo

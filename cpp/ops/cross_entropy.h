#pragma once

#include <optional>

#include "core/autograd.h"

namespace attendo {

enum class Reduction { kMean, kSum, kNone };

struct CrossEntropyOptions {
  // Rows whose index this is count neither in the sum nor in the mean.
  std::optional<Index> ignore_index;
  double label_smoothing = 0;
  // How much each class (V,) and each sample (axis 0 of the rows) counts. Finite, not negative; without a gradient.
  Tensor weight, sample_weight;
};

// logits (…, V); target int64 (…) of class indices, or float (…, V) of probabilities, which are taken as they are.
// The mean of no rows is 0.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {},
                     Reduction reduction = Reduction::kMean);

// The sum divided by `divisor`: part of a mean over more rows than these.
Tensor cross_entropy_over(const Tensor& logits, const Tensor& target, double divisor,
                          const CrossEntropyOptions& options);

// What the mean divides by: Σ_i w_i, times the weight of the class where the target is an index.
double cross_entropy_count(const Tensor& target, const CrossEntropyOptions& options);

// An error for weights of classes that are all 0: nothing would count.
void check_some_weight(const char* op, const Tensor& weight);

}  // namespace attendo

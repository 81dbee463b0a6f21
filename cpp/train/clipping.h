#pragma once

#include "core/tensor.h"

namespace attendo::train {

// Σ g²
double sum_of_squares(const Tensor& grad);

// Clamps each entry to ±bound, in place. NaN stays.
void clip_values(const Tensor& grad, double bound);

}  // namespace attendo::train

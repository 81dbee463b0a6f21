#pragma once

#include "core/autograd.h"

namespace attendo {

// x (B, C, …) in num_groups groups of neighbouring channels; weight, bias (C,) may be undefined.
Tensor group_norm(const Tensor& x, Index num_groups, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

}  // namespace attendo

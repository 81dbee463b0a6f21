#pragma once

#include "core/autograd.h"

namespace attendo {

// Over the last axis. weight (γ) and bias (β), both (n,), may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

}  // namespace attendo

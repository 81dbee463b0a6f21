#pragma once

#include "core/autograd.h"

namespace attendo {

// x (B, C, …); weight, bias (C,) may be undefined. In training the batch's statistics normalise and running_mean and
// running_var (C,), when defined, are moved towards them in place; otherwise the running ones normalise.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, double momentum = 0.1, double eps = 1e-5);

}  // namespace attendo

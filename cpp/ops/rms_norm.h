#pragma once

#include "core/autograd.h"

namespace attendo {

// Over the last axis. weight (n,) may be undefined.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);

}  // namespace attendo

#pragma once

#include "core/autograd.h"
#include "core/random.h"

namespace attendo {

struct ResidualNorm {
  Tensor out;
  Tensor sum;  // x + drop(r), when asked for
};

// x and r (..., n); weight (γ) and bias (β), both (n,), may be undefined. Draws one stream from the generator when p > 0,
// else it may be null.
ResidualNorm residual_norm(const Tensor& x, const Tensor& r, const Tensor& weight, const Tensor& bias, double p,
                           Generator* generator, double eps = 1e-5, bool want_sum = false);

}  // namespace attendo

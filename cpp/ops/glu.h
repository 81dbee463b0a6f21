#pragma once

#include "core/autograd.h"
#include "kernels/gates.h"

namespace attendo {

using kernels::GateActivation;

// x (…, 2n) = [a | b] -> a ⊗ f(b) (…, n)
Tensor glu(const Tensor& x, GateActivation activation);

}  // namespace attendo

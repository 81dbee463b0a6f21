#pragma once

#include "core/autograd.h"

namespace attendo {

Tensor relu(const Tensor& x);
Tensor gelu(const Tensor& x, bool tanh_approximation = false);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor silu(const Tensor& x);
Tensor quick_gelu(const Tensor& x);
Tensor softplus(const Tensor& x);

}  // namespace attendo

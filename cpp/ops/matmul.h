#pragma once

#include "core/autograd.h"

namespace attendo {

// a (…, m, k), b (…, k, n) -> (…, m, n); the leading axes broadcast.
Tensor matmul(const Tensor& a, const Tensor& b);

}  // namespace attendo

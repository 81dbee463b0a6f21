#pragma once

#include "core/autograd.h"

namespace attendo {

// NumPy's broadcasting.
Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);

Tensor scale(const Tensor& x, double factor);      // factor · x
Tensor add_scalar(const Tensor& x, double value);  // x + value
Tensor power(const Tensor& x, double exponent);    // x ^ exponent
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);

// Sums a gradient over the axes along which `shape` was broadcast.
Tensor sum_to_shape(const Tensor& grad, const Shape& shape);
// The other way round: x, of fewer axes or axes of length 1, repeated.
Tensor broadcast_to(const Tensor& x, const Shape& shape);

}  // namespace attendo

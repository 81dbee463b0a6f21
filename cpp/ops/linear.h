#pragma once

#include "core/autograd.h"

namespace attendo {

template <typename T>
void linear_forward(T* y, const T* x, const T* weight, const T* bias, bool relu, Index rows, Index in, Index out);

// Any of d_x, d_weight, d_bias may be null; add_weight, add_bias: add to what they hold.
template <typename T>
void linear_backward(T* d_x, T* d_weight, bool add_weight, T* d_bias, bool add_bias, const T* d_y, const T* x,
                     const T* weight, Index rows, Index in, Index out);

// x (…, in), weight (out, in), bias (out,) or undefined -> (…, out). With relu, max(·, 0) of it in the same pass.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu = false);

}  // namespace attendo

#pragma once

#include "core/autograd.h"
#include "ops/gemm.h"

namespace attendo {

template <typename T>
void linear_forward(T* y, const T* x, const T* weight, const T* bias, Index rows, Index in, Index out,
                    const Epilogue<T>& epilogue = {});

// Any of d_x, d_weight, d_bias may be null; add_weight, add_bias: add to what they hold. The epilogue is that of d_x.
template <typename T>
void linear_backward(T* d_x, T* d_weight, bool add_weight, T* d_bias, bool add_bias, const T* d_y, const T* x,
                     const T* weight, Index rows, Index in, Index out, const Epilogue<T>& epilogue = {});

// x (…, in), weight (out, in), bias (out,) or undefined -> (…, out), then the activation, in the same pass.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation = Activation::kNone);

// f(z) as an operation of its own.
Tensor activate(const Tensor& z, Activation activation);

void check_linear(const char* op, const char* x_name, const Tensor& x, const char* weight_name, const Tensor& weight,
                  const char* bias_name, const Tensor& bias);

}  // namespace attendo

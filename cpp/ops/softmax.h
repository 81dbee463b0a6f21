#pragma once

#include "core/autograd.h"

namespace attendo {

template <typename T>
void softmax_forward(T* y, const T* x, Index rows, Index n);
template <typename T>
void softmax_backward(T* d_x, const T* d_y, const T* y, Index rows, Index n);

Tensor softmax(const Tensor& x, int axis = -1);
Tensor log_softmax(const Tensor& x, int axis = -1);

}  // namespace attendo

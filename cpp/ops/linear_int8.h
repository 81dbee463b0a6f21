#pragma once

#include "core/autograd.h"
#include "ops/gemm.h"

namespace attendo {

// A float matrix (out, in) -> int8 of the same shape, its scales (out, groups) with it; off the tape.
Tensor quantize_int8(const Tensor& weight);
// What it stands for, in the dtype of the scales.
Tensor dequantize_int8(const Tensor& weight);
// Puts numbers (out, in) and scales (out, groups) together.
Tensor int8_matrix(const char* op, const Tensor& weight, const Tensor& scales);

// x (…, in), weight int8 (out, in), bias (out,) or undefined -> (…, out), then the activation. A gradient goes to x and bias.
Tensor linear_int8(const Tensor& x, const Tensor& weight, const Tensor& bias,
                   Activation activation = Activation::kNone);

// ids (…,) of rows of an int8 table (V, d) -> (…, d)
Tensor embedding_int8(const Tensor& ids, const Tensor& weight);

}  // namespace attendo

#pragma once

#include <optional>

#include "core/autograd.h"
#include "ops/activation_range.h"
#include "ops/gemm.h"

namespace attendo {

// A float matrix (out, in) -> int8 of the same shape, one scale for each row with it; off the tape. With `input` all it is
// multiplied with is rounded in that range, without it each row of that in its own.
Tensor quantize_per_channel(const char* op, const Tensor& weight, const std::optional<Int8Range>& input = {});
// Puts numbers (out, in), scales (out,) and, where it is defined, input (2,) = (scale, zero point) together.
Tensor quantized_matrix(const char* op, const Tensor& weight, const Tensor& scales, const Tensor& input);
// input (2,) of a static matrix: checked.
Int8Range input_range(const char* op, const char* arg, const Tensor& input);
// To be called where the numbers were written in place.
void renew_products(const Tensor& weight);

// x (…, in), weight (out, in) of the above, bias (out,) or undefined -> (…, out), then the activation. Without gradients.
Tensor quantized_linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        Activation activation = Activation::kNone);

}  // namespace attendo

#pragma once

#include "core/autograd.h"
#include "ops/gemm.h"

namespace attendo {

// x (…, in), weight (out, in) of floats or int8, bias (out,) or undefined, with the weight's updates -> (…, out), then the
// activation. The weight's own gradient is computed only where it requires one.
Tensor lora(const Tensor& x, const Tensor& weight, const Tensor& bias, const LowRanks& updates,
            Activation activation = Activation::kNone);

// W += scale · B A in the rows of each update, in place.
void merge_low_rank(const Tensor& weight, const LowRanks& updates);

}  // namespace attendo

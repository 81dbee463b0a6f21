#pragma once

#include "core/autograd.h"
#include "core/random.h"
#include "ops/gemm.h"

namespace attendo {

// x (…, in), weight1 (hidden, in), bias1 (hidden,), weight2 (out, hidden), bias2 (out,) -> (…, out). The biases may be
// undefined. `generator` draws what `dropout` > 0 drops of the hidden layer, as the operation dropout would.
Tensor feed_forward(const Tensor& x, const Tensor& weight1, const Tensor& bias1, const Tensor& weight2,
                    const Tensor& bias2, Activation activation, double dropout, Generator* generator);

}  // namespace attendo

#pragma once

#include "core/autograd.h"

namespace attendo::train {

// What losses share. `op` names the loss in errors.

const Tensor& first_output(const char* op, const Tensors& outputs);
const Tensor& only_target(const char* op, const Tensors& targets);
// A weight a sample as doubles; empty without weights. They are finite and not negative.
std::vector<double> sample_weights(const char* op, const Tensor& sample_weight, Index samples);
// Σ w over the samples of `target`, without weights their number; times what each of them counts.
double weighted_samples(const char* op, const Tensor& target, const Tensor& sample_weight, double each = 1);
// Σ_i w_i Σ terms_i / total, for terms (samples, …); 0 where nothing counts.
Tensor weighted_sum(const char* op, const Tensor& terms, const Tensor& sample_weight, double total);
// "[0.5, 2]", or the number alone of a tensor of shape ().
std::string numbers(const Tensor& x);

}  // namespace attendo::train

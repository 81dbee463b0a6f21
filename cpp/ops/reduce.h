#pragma once

#include <vector>

#include "core/autograd.h"

namespace attendo {

// Empty `axes`: all of them.
Tensor sum(const Tensor& x, std::vector<int> axes = {}, bool keepdims = false);
Tensor mean(const Tensor& x, std::vector<int> axes = {}, bool keepdims = false);
Tensor max(const Tensor& x, std::vector<int> axes = {}, bool keepdims = false);

// Index of the first maximum along the last axis, int64; NaN counts as the largest. Off the tape.
Tensor argmax_last(const Tensor& x);

}  // namespace attendo

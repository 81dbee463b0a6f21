#pragma once

#include <optional>
#include <vector>

#include "core/autograd.h"

namespace attendo {

// Without `axes`: all of them.
using Axes = std::optional<std::vector<int>>;

Tensor sum(const Tensor& x, const Axes& axes = std::nullopt, bool keepdims = false);
Tensor mean(const Tensor& x, const Axes& axes = std::nullopt, bool keepdims = false);
Tensor max(const Tensor& x, const Axes& axes = std::nullopt, bool keepdims = false);

// Index of the first maximum along the last axis, int64; NaN counts as the largest. Off the tape.
Tensor argmax_last(const Tensor& x);

}  // namespace attendo

#pragma once

#include <optional>
#include <vector>

#include "core/autograd.h"

namespace attendo {

// Without `axes`: all of them.
using Axes = std::optional<std::vector<int>>;

// An array seen as (outer, count, inner), whose middle axis is summed or was repeated.
struct Middle {
  Index outer = 1, count = 1, inner = 1;
};

// True when an array of shape `small` that is broadcast to `shape` repeats along one axis, or several neighbours.
bool repeats_middle(const Shape& small, const Shape& shape, Middle& middle);

// y (outer, inner) = Σ x over the middle axis
template <typename T>
void sum_middle(T* y, const T* x, const Middle& middle);

Tensor sum(const Tensor& x, const Axes& axes = std::nullopt, bool keepdims = false);
Tensor mean(const Tensor& x, const Axes& axes = std::nullopt, bool keepdims = false);
Tensor max(const Tensor& x, const Axes& axes = std::nullopt, bool keepdims = false);

// Index of the first maximum along the last axis, int64; NaN counts as the largest. Off the tape.
Tensor argmax_last(const Tensor& x);

}  // namespace attendo

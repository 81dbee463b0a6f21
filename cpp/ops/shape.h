#pragma once

#include <vector>

#include "core/autograd.h"

namespace attendo {

// One length may be -1: it is worked out. Shares x's data.
Tensor reshape(const Tensor& x, const Shape& shape);
// Empty `axes`: reversed.
Tensor transpose(const Tensor& x, std::vector<int> axes = {});
Tensor swap_axes(const Tensor& x, int a, int b);

// Along each axis start, stop and step >= 1, already within bounds; `squeeze`: an index, the axis goes away.
struct SliceAxis {
  Index start = 0, stop = 0, step = 1;
  bool squeeze = false;
};
Tensor slice(const Tensor& x, const std::vector<SliceAxis>& key);

Tensor concatenate(const Tensors& parts, int axis);

// Positions begin … end - 1 along one axis.
Tensor take(const Tensor& x, int axis, Index begin, Index end);

// x where `kept` (bool, of x's shape) is true, `other` elsewhere, whatever x is there.
Tensor select(const Tensor& x, const Tensor& kept, double other = 0);

}  // namespace attendo

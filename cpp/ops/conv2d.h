#pragma once

#include "core/autograd.h"
#include "ops/window.h"

namespace attendo {

// x (B, C, H, W), weight (O, C/groups, kh, kw), bias (O,) or undefined -> (B, O, OH, OW)
// The windows' kernel is the weight's, whatever they say.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, Window height = {}, Window width = {},
              Index groups = 1);

// What a convolution works on; with one axis the height is 1.
struct ConvShape {
  Index batch = 0, channels = 0, outputs = 0, groups = 1;
  WindowAxis h, w;

  Index group_channels() const { return channels / groups; }
  Index group_outputs() const { return outputs / groups; }
  Index patch() const { return group_channels() * h.kernel * w.kernel; }
  Index positions() const { return h.out * w.out; }
  Index image() const { return channels * h.size * w.size; }
};

// Fills in all but the axes: checks dtypes, channels, groups and bias.
ConvShape check_channels(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, Index groups);

// The operation itself, on arguments that are checked; `name` is the tape's, `shape` that of the result.
Tensor convolution(const char* name, const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvShape& s,
                   const Shape& shape);

}  // namespace attendo

#pragma once

#include "core/autograd.h"

namespace attendo {

// x (B, C, H, W), weight (O, C, kh, kw), bias (O,) or undefined -> (B, O, OH, OW)
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, Index stride_h, Index stride_w,
              Index padding_h, Index padding_w);

}  // namespace attendo

#pragma once

#include "core/autograd.h"

namespace attendo {

// x (B, C, L) -> (B, C, length);  x (B, C, H, W) -> (B, C, height, width).  kKeepSize: as many as x has.
inline constexpr Index kKeepSize = -1;
Tensor adaptive_avg_pool1d(const Tensor& x, Index length);
Tensor adaptive_avg_pool2d(const Tensor& x, Index height, Index width);
Tensor adaptive_max_pool1d(const Tensor& x, Index length);
Tensor adaptive_max_pool2d(const Tensor& x, Index height, Index width);

}  // namespace attendo

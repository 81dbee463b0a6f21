#pragma once

#include "core/autograd.h"

namespace attendo {

// x (B, C, H, W) -> (B, C, OH, OW); padding counts as -inf and is at most half the kernel.
Tensor max_pool2d(const Tensor& x, Index kernel_h, Index kernel_w, Index stride_h, Index stride_w, Index padding_h,
                  Index padding_w);

}  // namespace attendo

#pragma once

#include "core/autograd.h"
#include "ops/pooling.h"

namespace attendo {

// x (B, C, L) -> (B, C, OL);  x (B, C, H, W) -> (B, C, OH, OW).  Padding is zeros, at most half the kernel.
Tensor avg_pool1d(const Tensor& x, const Window& window, bool ceil_mode = false, bool count_include_pad = true);
Tensor avg_pool2d(const Tensor& x, const Window& height, const Window& width, bool ceil_mode = false,
                  bool count_include_pad = true);

// y[b, c, i, j]: the average of what output i sees of the rows and output j of the columns.
Tensor mean_over(const char* name, const Tensor& x, const PoolAxis& h, const PoolAxis& w, const Shape& shape);

}  // namespace attendo

#pragma once

#include "core/autograd.h"
#include "ops/pooling.h"

namespace attendo {

// x (B, C, L) -> (B, C, OL);  x (B, C, H, W) -> (B, C, OH, OW).  Padding never wins and is at most half the kernel.
Tensor max_pool1d(const Tensor& x, const Window& window, bool ceil_mode = false);
Tensor max_pool2d(const Tensor& x, const Window& height, const Window& width, bool ceil_mode = false);

// y[b, c, i, j]: the maximum of what output i sees of the rows and output j of the columns.
Tensor max_over(const char* name, const Tensor& x, const PoolAxis& h, const PoolAxis& w, const Shape& shape);

}  // namespace attendo

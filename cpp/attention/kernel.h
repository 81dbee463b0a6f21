#pragma once

#include "core/autograd.h"

namespace attendo {

// h: any of (), (D,) or (H, 1), (H, D), all positive -> w = 1 / 2h², (D,) or (H, D), what the score multiplies distances by
Tensor kernel_weights(const Tensor& q, const Tensor& bandwidth);

// q (…, H, L, D), k (…, Hkv, S, D), w of kernel_weights -> scores (…, H, L, S)
Tensor kernel_scores(const Tensor& q, const Tensor& k, const Tensor& w);

}  // namespace attendo

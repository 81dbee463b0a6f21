#pragma once

#include "core/autograd.h"

namespace attendo {

// q (…, H, L, Dq), k (…, Hkv, S, Dk), w (Dq, Dk) or (H, Dq, Dk) -> q W (…, H, L, Dk), whose product with k is the score
Tensor general_queries(const Tensor& q, const Tensor& k, const Tensor& w);

}  // namespace attendo

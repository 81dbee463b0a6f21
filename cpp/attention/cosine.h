#pragma once

#include "core/autograd.h"

namespace attendo {

// q (…, H, L, D), k (…, Hkv, S, D) -> both with rows of length 1, whose products are the cosines
std::pair<Tensor, Tensor> cosine_rows(const Tensor& q, const Tensor& k);

}  // namespace attendo

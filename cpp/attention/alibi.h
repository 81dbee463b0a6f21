#pragma once

#include <vector>

#include "core/autograd.h"

namespace attendo {

// slopes (H,) -> (H, L, S)
Tensor alibi(const Tensor& slopes, Index length, Index keys, Index q_offset);

std::vector<double> alibi_slopes(Index num_heads);

}  // namespace attendo

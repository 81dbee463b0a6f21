#pragma once

#include "core/random.h"
#include "core/tensor.h"

namespace attendo::train {

// Rows `order[begin, end)` of x, copied together.
Tensor take_rows(const Tensor& x, const std::vector<Index>& order, Index begin, Index end);

// The order of the samples in one epoch: a function of (seed, epoch).
std::vector<Index> epoch_order(Index samples, bool shuffle, std::uint64_t seed, Index epoch);

}  // namespace attendo::train

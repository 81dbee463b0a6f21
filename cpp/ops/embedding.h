#pragma once

#include "core/autograd.h"

namespace attendo {

inline constexpr Index kNoPadding = -1;

// ids int64 (…), weight (V, d) -> (…, d). Row `padding_idx` of weight gets no gradient.
Tensor embedding(const Tensor& ids, const Tensor& weight, Index padding_idx = kNoPadding);

}  // namespace attendo

#pragma once

#include "core/autograd.h"

namespace attendo {

// words int64 (B,) or (B, C) with -1 for no word, targets (B,), negatives (B, K); vectors (V, d) -> losses (B,).
// sparse: gradients as rows, see ops/embedding.h.
Tensor negative_sampling(const Tensor& words, const Tensor& targets, const Tensor& negatives,
                         const Tensor& input_vectors, const Tensor& output_vectors, bool sparse);

}  // namespace attendo

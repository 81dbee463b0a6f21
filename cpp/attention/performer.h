#pragma once

#include <optional>

#include "core/autograd.h"
#include "core/random.h"

namespace attendo {

enum class PerformerKernel { kSoftmax, kRelu };

struct PerformerOptions {
  PerformerKernel kernel = PerformerKernel::kSoftmax;
  std::optional<double> scale;  // 1/√d when absent
  bool causal = false;
  Tensor key_lengths;  // int64 (batch,): keys from there on are padding
};

// (m, d): rows normally distributed; with `orthogonal`, those of each block of d at right angles to each other.
Tensor performer_features(Index m, Index d, Generator& generator, bool orthogonal, DType dtype);

// d ln d, up to a whole multiple of 16
Index default_num_features(Index d);

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv), features (m, D) -> (…, H, L, Dv)
Tensor performer(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& features,
                 const PerformerOptions& options);

}  // namespace attendo

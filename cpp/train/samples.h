#pragma once

#include "core/tensor.h"

namespace attendo::train {

// One input or target of all samples: an array whose axis 0 is the samples, or sequences of unequal lengths, one behind
// the other.
struct Samples {
  Tensor values;              // (samples, ...); of sequences (sum of the lengths, ...)
  std::vector<Index> starts;  // of sequences: where each begins, and the end of the last. Empty for an array
  double padding = 0;         // what stands behind a sequence shorter than the longest of its batch

  bool is_ragged() const { return !starts.empty(); }
  Index size() const { return is_ragged() ? static_cast<Index>(starts.size()) - 1 : values.dim(0); }
  // Samples order[begin, end) as one array; sequences as (end - begin, longest of them, ...).
  Tensor take(const std::vector<Index>& order, Index begin, Index end) const;
};
using Columns = std::vector<Samples>;

// Checks that every column has as many samples and at least one; gives their number. `call` and `what` name them.
Index check_samples(const char* call, const char* what, const Columns& columns);

}  // namespace attendo::train

// What the weights of attention look like, row by row, without an L × S array and without values.
#pragma once

#include "kernels/attention.h"

namespace attendo::kernels {

// Of the rows of one head. With x_j = s_ij - max_i in units of log2 e, the weights are 2^x_j / sum_i.
template <typename T>
struct AttentionRowStats {
  T* max;     // the largest score, in units of log2 e; -inf where nothing is attended
  T* sum;     // Σ_j 2^x_j; 0 where nothing is attended, NaN where a score is
  T* moment;  // Σ_j 2^x_j x_j, not above 0
  ptrdiff_t top;
  std::int64_t*
      top_keys;    // (L, top): the keys of the largest weights, largest first, lower keys first among equals; then -1
  T* top_weights;  // (L, top): their weights; then 0
};

template <typename T>
struct AttentionStatsKernels {
  ptrdiff_t panel;                    // queries of a block: that of AttentionKernels
  ptrdiff_t (*scratch)(ptrdiff_t d);  // elements
  // Rows [begin, end). begin is a multiple of `panel`.
  void (*run)(const AttentionHead<T>& head, ptrdiff_t begin, ptrdiff_t end, const AttentionRowStats<T>& rows,
              T* scratch);
};

template <typename T>
const AttentionStatsKernels<T>& attention_stats_kernels();

}  // namespace attendo::kernels

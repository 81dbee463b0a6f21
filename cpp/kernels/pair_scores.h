// Scores of every query with every key that no matrix product gives: a sum over the features of a function of both.
// One head on one thread, keys in the SIMD lanes.
//
//   additive   s_ij =  Σ_a w_a tanh(q_ia + k_ja)       (Bahdanau et al. 2015)
//   gaussian   s_ij = -Σ_a w_a (q_ia - k_ja)²
#pragma once

#include <cstddef>

namespace attendo::kernels {

using std::ptrdiff_t;

enum class PairScore { kAdditive, kGaussian };

// One head's queries, or some of them.
template <typename T>
struct PairScoreHead {
  ptrdiff_t rows = 0, keys = 0, features = 0;
  const T* q = nullptr;  // (rows, features)
  ptrdiff_t q_row = 0;
  const T* prepared = nullptr;  // the keys, as `prepare` leaves them
  const T* w = nullptr;         // (features,)
};

template <typename T>
struct PairScoreKernels {
  // Elements that `prepare` writes, and that the gradient of the keys has in the same order.
  ptrdiff_t (*prepared_size)(PairScore kind, ptrdiff_t keys, ptrdiff_t features);
  ptrdiff_t (*d_keys_size)(ptrdiff_t keys, ptrdiff_t features);
  ptrdiff_t (*scratch_size)(ptrdiff_t features);
  // Keys in panels of a few vectors, feature by feature: what the loops below read in a row.
  void (*prepare)(PairScore kind, const T* k, ptrdiff_t k_row, ptrdiff_t keys, ptrdiff_t features, T* prepared);
  void (*forward)(PairScore kind, const PairScoreHead<T>& head, T* scores, ptrdiff_t scores_row, T* scratch);
  // d_q is written; d_keys and d_w (features,) are added to. A score whose gradient is 0 adds nothing, whatever it is.
  void (*backward)(PairScore kind, const PairScoreHead<T>& head, const T* d_scores, ptrdiff_t d_scores_row, T* d_q,
                   ptrdiff_t d_q_row, T* d_keys, T* d_w, T* scratch);
  // d_k (keys, features) from the order of d_keys.
  void (*finish_keys)(const T* d_keys, ptrdiff_t keys, ptrdiff_t features, T* d_k, ptrdiff_t d_k_row);
};

template <typename T>
const PairScoreKernels<T>& pair_score_kernels();

}  // namespace attendo::kernels

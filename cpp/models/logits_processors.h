#pragma once

#include "models/decoding.h"

namespace attendo::models {

// One row of scores (V,), in place. `ids` are the row's tokens so far, the first `prompt_length` of them given.
// What is forbidden is -inf afterwards.
void process_logits(const DecodeOptions& options, const Ids& ids, Index prompt_length, double* scores,
                    Index vocabulary);
// Temperature, top-k, top-p and min-p, in this order. The largest score is 0 afterwards where temperature is not 1.
void filter_logits(const DecodeOptions& options, double* scores, Index vocabulary);

void log_softmax_row(double* scores, Index vocabulary);
// The token whose share of [0, 1) holds `uniform`, shares in the order of the vocabulary.
Index draw(const double* scores, Index vocabulary, double uniform);
// The number in (0, 1) that draws token `step` of a sequence: of (seed, sample, step) alone.
double uniform(std::uint64_t seed, Index sample, Index step);

// A row of logits as double. Throws when it holds NaN or inf.
void read_logits(const DecodeOptions& options, const Tensor& logits, Index state_row, Index row, double* scores);
// Throws when every score is -inf.
void check_possible(const DecodeOptions& options, Index row, const double* scores, Index vocabulary);

}  // namespace attendo::models

// What models of token ids have in common: the check of ids, and sequences without their padding.
#pragma once

#include "core/autograd.h"

namespace attendo::models {

// ids (B, L) int64, each 0 to vocabulary - 1; the error names the model and the argument.
// max_len: of their positions; 0: any number.
void check_token_ids(const char* model, const char* arg, const Tensor& ids, Index vocabulary, Index max_len = 0);

// The tokens of each row in their order, moved to its beginning: padding before and between them is gone.
struct Tokens {
  Tensor ids;        // (B, n): n tokens in the longest row, pad_id behind the others
  Tensor lengths;    // (B,)
  Index length = 0;  // L
  Tensor places;     // (B · L,): where each position of the rows given is among those of ids, -1 for padding

  Tensor put_back(const Tensor& x) const;  // x (B, n, d) -> (B, L, d), zeros at padding
};
Tokens without_padding(const Tensor& ids, Index pad_id);

}  // namespace attendo::models

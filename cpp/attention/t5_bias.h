#pragma once

#include "core/autograd.h"

namespace attendo {

// Of a key at `relative` positions after its query.
struct T5Buckets {
  Index num_buckets = 32, max_distance = 128;
  bool bidirectional = true;
  void check(const char* op) const;
  Index operator()(Index relative) const;
};

// int64, any shape -> the same
Tensor t5_buckets(const Tensor& relative, const T5Buckets& buckets);

// table (num_buckets, H) -> (H, L, S)
Tensor t5_bias(const Tensor& table, Index length, Index keys, Index q_offset, T5Buckets buckets);

}  // namespace attendo

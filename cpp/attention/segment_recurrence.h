#pragma once

#include "core/autograd.h"

namespace attendo {

inline constexpr Index kAsSegment = -1;

struct SegmentRecurrence {
  Tensor extended;  // (…, M + L, d): what keys and values are made of
  Tensor memory;    // (…, up to memory_length, d), off the tape: for the next segment
};

// x (…, L, d), memory (…, M, d) or undefined. memory_length kAsSegment: L.
SegmentRecurrence segment_recurrence(const Tensor& x, const Tensor& memory, Index memory_length = kAsSegment);

}  // namespace attendo

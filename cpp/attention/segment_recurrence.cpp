// Segment-level recurrence
//
//   forward    h̃ = [SG(m), x]       m' = SG(the last memory_length rows of h̃)          SG: without gradient
//   backward   dx = the last L rows of dh̃       dm = 0
//
// x: (…, L, d), a segment's hidden states.  m: (…, M, d), those of the segments before it.  h̃: (…, M + L, d).
// A layer makes its queries of x and its keys and values of h̃; m' is the next segment's m.   Dai et al. 2019, §3.2; article
// 002 §7.3.
#include "attention/segment_recurrence.h"

#include "ops/shape.h"

namespace attendo {

SegmentRecurrence segment_recurrence(const Tensor& x, const Tensor& memory, Index memory_length) {
  const char* op = "segment_recurrence";
  check_float(op, "x", x);
  check_min_rank(op, "x", x, 2, "(..., length, features)");
  if (memory_length == kAsSegment) memory_length = x.dim(-2);
  if (memory_length < 0) value_error(op, ": memory_length is ", memory_length, " but must be 0 or more");
  SegmentRecurrence result;
  result.extended = x;
  if (memory) {
    check_float(op, "memory", memory);
    check_same_dtype(op, "memory", memory, "x", x);
    Shape expected = x.shape();
    if (memory.rank() == x.rank()) expected[-2] = memory.dim(-2);
    if (!(memory.shape() == expected)) {
      value_error(op, ": memory has shape ", memory.shape(), " but x has shape ", x.shape(),
                  "; all but the lengths must agree");
    }
    result.extended = concatenate({memory.detach(), x}, -2);
  }
  const NoGrad off;
  const Tensor& all = result.extended;
  std::vector<SliceAxis> key;
  for (int axis = 0; axis < all.rank(); ++axis) key.push_back({0, all.dim(axis), 1, false});
  SliceAxis& rows = key[static_cast<size_t>(all.rank() - 2)];
  rows.start = std::max<Index>(0, rows.stop - memory_length);
  result.memory = slice(all.detach(), key);
  return result;
}

}  // namespace attendo

// What each output of a pooling sees of one axis: a sliding window, or one of so many nearly equal parts
//
//   sliding     window.h
//   adaptive    output i of n sees   ⌊i·size / n⌋ … ⌈(i + 1)·size / n⌉ - 1
//
// He et al. 2014, §2.2 (bins in proportion to the image).
#pragma once

#include <vector>

#include "core/tensor.h"
#include "ops/window.h"

namespace attendo {

// The inputs begin, begin + step, … below end. `count`: what an average divides by, as far as this axis is concerned.
struct Span {
  Index begin = 0, end = 1, step = 1, count = 1;
};

struct PoolAxis {
  WindowAxis axis;        // adaptive: size and out only
  bool adaptive = false;  // one of `out` nearly equal parts
  bool count_padding = true;

  Span span(Index i) const {
    const WindowAxis& a = axis;
    if (adaptive) {
      const Index begin = i * a.size / a.out, end = ((i + 1) * a.size + a.out - 1) / a.out;
      return {begin, end, 1, end - begin};
    }
    const Index start = i * a.stride - a.before, stop = std::min(start + a.reach(), a.size + a.after);
    const Index skipped = start < 0 ? (-start + a.dilation - 1) / a.dilation * a.dilation : 0;
    const Index begin = start + skipped, end = std::min(stop, a.size);
    return {begin, end, a.dilation, count_padding ? stop - start : end - begin};
  }
  std::vector<Span> spans() const {
    std::vector<Span> all;
    for (Index i = 0; i < axis.out; ++i) all.push_back(span(i));
    return all;
  }
};

inline void check_pool_input(const char* op, const Tensor& x, int rank, const char* axes) {
  check_float(op, "x", x);
  check_rank(op, "x", x, rank, axes);
  for (int axis = 2; axis < rank; ++axis) {
    if (x.dim(axis) < 1) value_error(op, ": x has shape ", x.shape(), "; there is nothing to pool");
  }
}

inline PoolAxis sliding_axis(const char* op, const char* axis, const Window& w, Index size, bool ceil_mode,
                             bool count_padding = true) {
  return {place_window(op, "kernel_size", axis, w, size, ceil_mode), false, count_padding};
}

}  // namespace attendo

// Windows that slide along an axis: what convolutions and poolings share
//
//   output i sees the inputs   i·stride + u·dilation - before,   u = 0 … kernel - 1;   outside 0 … size - 1 lies padding
//   outputs   ⌊(size + before + after - reach) / stride⌋ + 1,   reach = dilation (kernel - 1) + 1
//
// In ceil mode ⌈ ⌉, without a window that would begin behind the input.   Dumoulin and Visin 2016, §2.4, §4.1, §5.1.
#pragma once

#include <algorithm>

#include "core/error.h"
#include "core/shape.h"

namespace attendo {

// What a caller asks for on one axis. `same`: as much padding as keeps the length, an odd one more at the end.
struct Window {
  Index kernel = 1, stride = 1, padding = 0, dilation = 1;
  bool same = false;

  Index reach() const { return dilation * (kernel - 1) + 1; }
};

// Windows on an input of `size`.
struct WindowAxis {
  Index size = 1, kernel = 1, stride = 1, dilation = 1, before = 0, after = 0, out = 1;

  Index reach() const { return dilation * (kernel - 1) + 1; }
  // The outputs j in [first, last) for which kernel position u meets the input, not the padding.
  Index first(Index u) const {
    const Index missing = before - u * dilation;
    return missing <= 0 ? 0 : std::min(out, (missing + stride - 1) / stride);
  }
  Index last(Index u) const {
    const Index room = size - 1 + before - u * dilation;  // j·stride is at most that
    return room < 0 ? 0 : std::min(out, room / stride + 1);
  }
};

// Keeps every sum and product of two of these far from overflow.
inline constexpr Index kWindowLimit = Index{1} << 30;

inline void check_size(const char* op, const char* arg, Index value, Index least) {
  if (value < least) value_error(op, ": ", arg, " is ", value, " but must be ", least, " or more");
  if (value > kWindowLimit) value_error(op, ": ", arg, " is ", value, " but must be at most 2**30");
}

inline void check_window(const char* op, const Window& w) {
  check_size(op, "kernel_size", w.kernel, 1);
  check_size(op, "stride", w.stride, 1);
  check_size(op, "dilation", w.dilation, 1);
  check_size(op, "padding", w.padding, 0);
  if (w.same && w.stride != 1) {
    value_error(op, ": padding is 'same' but stride is ", w.stride, "; it needs a stride of 1");
  }
}

// Of poolings: padding of at most half the kernel, so that (without dilation) every window meets the input.
inline void check_pooling(const char* op, const Window& w) {
  check_window(op, w);
  if (2 * w.padding > w.kernel) {
    value_error(op, ": padding is ", w.padding, " but must be 0 to ", w.kernel / 2, ", half of kernel_size");
  }
}

// `kernel` and `axis` are their names in an error.
inline WindowAxis place_window(const char* op, const char* kernel, const char* axis, const Window& w, Index size,
                               bool ceil_mode = false) {
  WindowAxis a;
  a.size = size, a.kernel = w.kernel, a.stride = w.stride, a.dilation = w.dilation;
  a.before = w.same ? (w.reach() - 1) / 2 : w.padding;
  a.after = w.same ? w.reach() - 1 - a.before : w.padding;
  const Index padded = size + a.before + a.after, room = padded - w.reach();
  if (room < 0) {
    value_error(op, ": ", kernel, " covers a ", axis, " of ", w.reach(), " but x has ", padded, " with its padding");
  }
  a.out = (ceil_mode ? room + w.stride - 1 : room) / w.stride + 1;
  if (ceil_mode && (a.out - 1) * w.stride >= size + a.before) --a.out;
  return a;
}

}  // namespace attendo

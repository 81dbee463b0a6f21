// Inverted dropout
//
//   forward    y = x keep / (1 - p),   keep_i = [bits(stream, i) >= p 2³²]
//   backward   dx = dy keep / (1 - p)
//
// The bits are a function of the stream and the position, so backward makes the same ones again and nothing is kept.
// x, y: any shape.   Srivastava et al. 2014; article 002 §9.
#include "ops/dropout.h"

#include <cmath>

#include "core/parallel.h"
#include "kernels/rows.h"

namespace attendo {

std::uint32_t drop_threshold(double p) {
  return static_cast<std::uint32_t>(std::min(4294967295.0, std::floor(p * 4294967296.0)));
}

namespace {

template <typename T>
void dropout_forward(T* y, const T* x, std::uint64_t stream, double p, Index n) {
  const std::uint32_t drop_below = drop_threshold(p);
  const T scale = keep_scale<T>(p);
  parallel_ranges(n, 1 << 16, [=](Index begin, Index end) {
    kernels::row_kernels<T>().dropout(y + begin, x + begin, stream, static_cast<std::uint64_t>(begin), drop_below,
                                      scale, end - begin);
  });
}

}  // namespace

Tensor dropout(const Tensor& x, double p, std::uint64_t stream) {
  Tensor y = p == 1.0 ? Tensor::zeros(x.shape(), x.dtype()) : Tensor::empty(x.shape(), x.dtype());
  if (p < 1.0) {
    dispatch_float("dropout", "x", x, [&](auto zero) {
      using T = decltype(zero);
      dropout_forward<T>(y.data<T>(), x.data<T>(), stream, p, x.size());
    });
  }
  if (!needs_grad({&x})) return y;
  record("dropout", {x}, {y}, Twice::kYes,
         [x, stream, p](const Tensors& d) { accumulate(x, dropout(d[0], p, stream)); });
  return y;
}

Tensor dropout(const Tensor& x, double p, Generator& generator) {
  check_float("dropout", "x", x);
  if (!(p >= 0 && p <= 1)) value_error("dropout: p is ", p, " but must be 0 to 1");
  if (p == 0) return x;
  return dropout(x, p, generator.next_stream());
}

}  // namespace attendo

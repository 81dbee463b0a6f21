// Clipping
//
//   by value   g = max(-v, min(v, g)),   v = clip_value
//   by norm    g *= min(1, c / (‖g‖ + 10⁻⁶)),   c = clip_norm, ‖g‖² = Σ g² over all gradients
//
// Pascanu et al. 2013, algorithm 1.   Article 002 §5.2.
#include "train/clipping.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"

namespace attendo::train {
namespace {

constexpr Index kGrain = 1 << 15;

}  // namespace

// Σ g², in doubles: the square of a gradient may be out of float's range.
double sum_of_squares(const Tensor& grad) {
  double square = 0;
  dispatch_float("grad_norm", "grads", grad, [&](auto zero) {
    using T = decltype(zero);
    const T* g = grad.data<T>();
    const Index n = grad.size(), parts = (n + kGrain - 1) / kGrain;
    Scratch<double> partial(static_cast<size_t>(parts));
    parallel_for(parts, [&](Index part) {
      // Sums of their own for each of a few neighbours: one sum alone would wait for itself.
      constexpr Index kLanes = 8;
      double total[kLanes] = {};
      Index i = part * kGrain;
      const Index end = std::min(n, i + kGrain);
      for (; i + kLanes <= end; i += kLanes) {
        for (Index k = 0; k < kLanes; ++k) total[k] += static_cast<double>(g[i + k]) * static_cast<double>(g[i + k]);
      }
      for (; i < end; ++i) total[0] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
      partial.get()[part] = std::accumulate(total, total + kLanes, 0.0);
    });
    for (Index part = 0; part < parts; ++part) square += partial.get()[part];
  });
  return square;
}

void clip_values(const Tensor& grad, double bound) {
  dispatch_float("step", "grads", grad, [&](auto zero) {
    using T = decltype(zero);
    T* g = grad.data<T>();
    const T high = static_cast<T>(bound), low = -high;
    parallel_ranges(grad.size(), kGrain, [=](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const T x = g[i] > high ? high : g[i];
        g[i] = x < low ? low : x;
      }
    });
  });
}

}  // namespace attendo::train

#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "kernels/int8_inputs.h"

namespace attendo {

using kernels::Int8Range;

inline constexpr Index kRangeBins = 2048;

enum class RangeMethod : unsigned char { kMinMax, kPercentile, kEntropy };
RangeMethod range_method(const char* op, const std::string& name);

// What passed by: the range with zero in it and, once that is known, how many numbers lie in each of its bins.
struct ActivationCounts {
  bool any = false, finite = true;
  double low = 0, high = 0;
  std::vector<std::int64_t> bins;  // empty while the range is still being found

  void begin_bins() { bins.assign(static_cast<size_t>(kRangeBins), 0); }
  void add(const Tensor& x);
  bool usable() const;  // neither NaN nor inf, nor numbers so far apart that their difference is
};

// percentile: of kPercentile alone, more than 0 and at most 100. The scale is one that `dtype` holds.
Int8Range choose_range(const ActivationCounts& counts, RangeMethod method, double percentile, DType dtype);

// All at once: the range of the numbers x holds.
Int8Range activation_range(const Tensor& x, RangeMethod method, double percentile);

// Sees what a matrix is multiplied with while a model is calibrated (linear calls it; nn/quantize.h puts it there).
struct InputObserver {
  std::mutex lock;
  ActivationCounts counts;
};
void observe_input(const Tensor& weight, const Tensor& x);

}  // namespace attendo

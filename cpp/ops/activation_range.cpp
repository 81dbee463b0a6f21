// The range that eight bits are spread over, found from numbers seen before
//
//   minmax       [min(x, 0), max(x, 0)]
//   percentile   what is left when (100 - p) / 2 percent of the numbers are cut off at either end
//   entropy      the part of it whose rounding changes the distribution least:   min KL(P ‖ Q) = Σ P_i log(P_i / Q_i)
//   then         s = (hi - lo) / 255,   z = round(-lo / s)
//
// The last two count the numbers in 2048 bins of equal width. P: the bins kept, with all that lies beyond in the outermost;
// Q: the same numbers, without those beyond, in 256 levels, each spread evenly over those of its bins that hold any, and at
// least 10⁻⁶. At either end bins are cut off 64 at a time, as long as zero and 256 of them are left.
//                                                                              Jacob et al. 2018, §2.1; Migacz 2017.
#include "ops/activation_range.h"

#include <cmath>
#include <limits>

#include "core/error.h"

namespace attendo {
namespace {

constexpr Index kLevels = 256;
constexpr Index kStep = 64;
constexpr double kLeastShare = 1e-6;

// Bins [first, last] that are left when `cut` numbers at most go at either end.
std::pair<Index, Index> without_ends(const std::vector<std::int64_t>& bins, double cut) {
  Index first = 0, last = kRangeBins - 1;
  std::int64_t passed = 0;
  while (first < kRangeBins - 1 && static_cast<double>(passed += bins[static_cast<size_t>(first)]) <= cut) ++first;
  passed = 0;
  while (last > first && static_cast<double>(passed += bins[static_cast<size_t>(last)]) <= cut) --last;
  return {first, last};
}

// KL(P ‖ Q) where bins [first, first + kept) are left.
double divergence(const std::vector<std::int64_t>& bins, Index first, Index kept) {
  std::vector<double> p(bins.begin() + first, bins.begin() + first + kept);
  double inside = 0, all = 0;
  for (const double n : p) inside += n;
  for (Index i = 0; i < kRangeBins; ++i) {
    const auto n = static_cast<double>(bins[static_cast<size_t>(i)]);
    all += n;
    if (i < first) p.front() += n;
    if (i >= first + kept) p.back() += n;
  }
  if (inside == 0) return std::numeric_limits<double>::infinity();
  double sum = 0;
  Index i = 0;
  for (Index level = 0; level < kLevels; ++level) {
    const Index begin = i;
    double in_level = 0, occupied = 0;
    for (; i < kept && i * kLevels / kept == level; ++i) {
      const auto n = static_cast<double>(bins[static_cast<size_t>(first + i)]);
      in_level += n, occupied += n > 0 ? 1 : 0;
    }
    for (Index b = begin; b < i; ++b) {
      const double of_p = p[static_cast<size_t>(b)] / all;
      if (of_p == 0) continue;
      const double of_q = bins[static_cast<size_t>(first + b)] > 0 ? in_level / occupied / inside : 0.0;
      sum += of_p * std::log(of_p / std::max(of_q, kLeastShare));
    }
  }
  return sum;
}

std::pair<Index, Index> least_divergence(const ActivationCounts& c) {
  const double zero = -c.low / (c.high - c.low) * static_cast<double>(kRangeBins);
  double least = std::numeric_limits<double>::infinity();
  std::pair<Index, Index> best{0, kRangeBins};
  for (Index first = 0; static_cast<double>(first) <= zero; first += kStep) {
    for (Index last = kRangeBins; static_cast<double>(last) >= zero && last - first >= kLevels; last -= kStep) {
      const double found = divergence(c.bins, first, last - first);
      if (found < least) least = found, best = {first, last};
    }
  }
  return best;
}

template <typename T>
void add_numbers(ActivationCounts& c, const T* x, Index n) {
  if (c.bins.empty()) {
    for (Index i = 0; i < n; ++i) {
      const auto value = static_cast<double>(x[i]);
      c.finite = c.finite && std::isfinite(value);
      c.low = std::min(c.low, value), c.high = std::max(c.high, value);
    }
    return;
  }
  const double width = c.high - c.low;
  if (!(width > 0)) return;
  for (Index i = 0; i < n; ++i) {
    const double place = (static_cast<double>(x[i]) - c.low) / width * static_cast<double>(kRangeBins);
    if (!(place >= 0)) continue;  // not seen before: NaN, or another input than in the first pass
    ++c.bins[static_cast<size_t>(std::min(place, static_cast<double>(kRangeBins - 1)))];
  }
}

}  // namespace

RangeMethod range_method(const char* op, const std::string& name) {
  if (name == "minmax") return RangeMethod::kMinMax;
  if (name == "percentile") return RangeMethod::kPercentile;
  if (name == "entropy") return RangeMethod::kEntropy;
  value_error(op, ": method is '", name, "' but must be 'minmax', 'percentile' or 'entropy'");
}

void ActivationCounts::add(const Tensor& x) {
  any = any || x.size() > 0;
  dispatch_float("activation_range", "x", x,
                 [&](auto zero) { add_numbers(*this, x.data<decltype(zero)>(), x.size()); });
}

bool ActivationCounts::usable() const { return finite && std::isfinite(high - low); }

Int8Range choose_range(const ActivationCounts& counts, RangeMethod method, double percentile, DType dtype) {
  double low = counts.low, high = counts.high;
  if (method != RangeMethod::kMinMax && high > low) {
    std::int64_t all = 0;
    for (const std::int64_t n : counts.bins) all += n;
    std::pair<Index, Index> kept{0, kRangeBins};
    if (method == RangeMethod::kPercentile) {
      kept = without_ends(counts.bins, (100 - percentile) / 200 * static_cast<double>(all));
      ++kept.second;
    } else if (all > 0) {
      kept = least_divergence(counts);
    }
    const double width = (high - low) / static_cast<double>(kRangeBins), begin = low;
    if (kept.first > 0) low = std::min(0.0, begin + static_cast<double>(kept.first) * width);
    if (kept.second < kRangeBins) high = std::max(0.0, begin + static_cast<double>(kept.second) * width);
  }
  const bool single = dtype == DType::kFloat32;
  const double tiny = single ? std::numeric_limits<float>::min() : std::numeric_limits<double>::min();
  double scale = high / 255 - low / 255;
  if (scale == 0) scale = 1;
  if (scale < tiny) scale = tiny;
  if (single) scale = static_cast<double>(static_cast<float>(scale));
  return {scale, static_cast<std::int32_t>(std::clamp(std::nearbyint(-low / scale), 0.0, 255.0))};
}

Int8Range activation_range(const Tensor& x, RangeMethod method, double percentile) {
  constexpr const char* kOp = "activation_range";
  check_float(kOp, "x", x);
  if (!(percentile > 0 && percentile <= 100)) {
    value_error(kOp, ": percentile is ", percentile, " but must be more than 0 and at most 100");
  }
  ActivationCounts counts;
  counts.add(x);
  if (!counts.any) value_error(kOp, ": x has shape ", x.shape(), " but must hold a number");
  if (!counts.usable()) value_error(kOp, ": x holds NaN, inf or numbers infinitely far apart but must be finite");
  counts.begin_bins();
  if (method != RangeMethod::kMinMax) counts.add(x);
  return choose_range(counts, method, percentile, x.dtype());
}

void observe_input(const Tensor& weight, const Tensor& x) {
  const std::shared_ptr<InputObserver> observer = weight.impl()->observer;
  const std::lock_guard guard(observer->lock);
  observer->counts.add(x);
}

}  // namespace attendo

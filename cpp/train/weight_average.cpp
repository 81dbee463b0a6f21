// Averages of the weights w after n = 0, 1, … updates
//
//   exponential   a = d a + (1 - d) w      with warm-up d = min(d, (1 + n)/(10 + n))
//   equal         a = a + (w - a)/(n + 1)
//
// The first update copies the weights. Polyak and Juditsky 1992; equal: Izmailov et al. 2018 (SWA).
#include "train/weight_average.h"

#include <algorithm>

#include "core/parallel.h"

namespace attendo::train {
namespace {

constexpr Index kGrain = 1 << 15;

// a += share (w - a), from the nearer end: a share of 1 gives w.
template <typename T>
void approach(T* __restrict a, const T* __restrict w, T share, Index n) {
  if (share < T(0.5)) {
    for (Index i = 0; i < n; ++i) a[i] += share * (w[i] - a[i]);
  } else {
    for (Index i = 0; i < n; ++i) a[i] = w[i] - (1 - share) * (w[i] - a[i]);
  }
}

}  // namespace

WeightAverage::WeightAverage(std::shared_ptr<Optimizer> optimizer, std::optional<double> decay, bool warmup)
    : optimizer_(std::move(optimizer)), decay_(decay), warmup_(warmup) {
  if (!optimizer_) type_error("WeightAverage: optimizer must not be None");
  if (decay_ && !(*decay_ >= 0 && *decay_ < 1))
    value_error("WeightAverage: decay is ", *decay_,
                " but must be 0 or more and below 1, or None for an equal average");
  if (warmup_ && !decay_) value_error("WeightAverage: warmup is of an exponential average; it needs decay");
  check("WeightAverage");
  const auto add = [&](const std::string& name, const Tensor& weights) {
    parts_.push_back({"average." + name, weights, weights.clone()});
  };
  for (const Optimizer::Block& block : optimizer_->blocks()) add(block.name, block.weights);
  const std::vector<Tensor> tables = optimizer_->tables();
  for (size_t i = 0; i < tables.size(); ++i) add(concat("table", i), tables[i]);
}

WeightAverage::~WeightAverage() {
  if (swapped_) optimizer_->set_guest(nullptr);
}

void WeightAverage::check(const char* call) const {
  if (!optimizer_->attached()) value_error(call, ": the optimizer steps no parameters yet; call attach(model) first");
  if (!optimizer_->owns_parameters())
    value_error(call, ": another optimizer has taken over the parameters; average that one");
}

void WeightAverage::update() {
  check("update");
  if (optimizer_->guest() != nullptr) value_error("update: the model holds the average now; swap() it back first");
  const double n = static_cast<double>(updates_);
  double share = 1 / (n + 1);
  if (decay_ && updates_ > 0) share = 1 - (warmup_ ? std::min(*decay_, (1 + n) / (10 + n)) : *decay_);
  for (const Part& part : parts_) {
    dispatch_float("update", "weights", part.weights, [&](auto zero) {
      using T = decltype(zero);
      T* a = part.average.data<T>();
      const T* w = part.weights.data<T>();
      parallel_ranges(part.weights.size(), kGrain, [&](Index begin, Index end) {
        if (updates_ == 0) {
          std::copy(w + begin, w + end, a + begin);
        } else {
          approach(a + begin, w + begin, static_cast<T>(share), end - begin);
        }
      });
    });
  }
  ++updates_;
}

void WeightAverage::swap() {
  check("swap");
  if (!swapped_ && optimizer_->guest() != nullptr)
    value_error("swap: the model holds another average now; swap() that one back first");
  for (const Part& part : parts_) {
    std::byte* a = part.average.raw();
    std::byte* w = part.weights.raw();
    parallel_ranges(static_cast<Index>(part.weights.bytes()), 4 * kGrain,
                    [=](Index begin, Index end) { std::swap_ranges(a + begin, a + end, w + begin); });
  }
  swapped_ = !swapped_;
  optimizer_->set_guest(swapped_ ? this : nullptr);
}

NamedTensors WeightAverage::state() const {
  if (swapped_) value_error("state: the model holds the average now; swap() it back first");
  const Tensor updates = Tensor::empty({1}, DType::kInt64);
  updates.data<std::int64_t>()[0] = updates_;
  NamedTensors out = {{"updates", updates}};
  for (const Part& part : parts_) out.emplace_back(part.name, part.average.view({part.average.size()}));
  return out;
}

void WeightAverage::load_state(const NamedTensors& state) {
  if (swapped_) value_error("load_state: the model holds the average now; swap() it back first");
  for (const auto& [name, value] : state) {
    if (name == "updates") check_count("load_state", name, value);
  }
  const NamedTensors own = this->state();
  load_named("load_state", own, state);
  updates_ = own[0].second.data<std::int64_t>()[0];
}

}  // namespace attendo::train

#pragma once

#include <optional>

#include "train/optimizers.h"

namespace attendo::train {

// An average of the weights an optimizer steps, over its steps.
class WeightAverage {
 public:
  // Of an optimizer that is attached. `decay`: of the exponential average; none: all weights count the same. `warmup`: a
  // smaller decay in the first updates.
  WeightAverage(std::shared_ptr<Optimizer> optimizer, std::optional<double> decay, bool warmup);
  ~WeightAverage();  // while swapped: the model keeps the average
  WeightAverage(const WeightAverage&) = delete;
  WeightAverage& operator=(const WeightAverage&) = delete;

  void update();  // after a step: takes the weights into the average
  void swap();    // exchanges weights and average; twice: nothing has happened, to the bit
  bool swapped() const { return swapped_; }
  std::int64_t updates() const { return updates_; }
  const std::shared_ptr<Optimizer>& optimizer() const { return optimizer_; }
  const std::optional<double>& decay() const { return decay_; }
  bool warmup() const { return warmup_; }

  NamedTensors state() const;  // the number of updates, and the averages themselves
  void load_state(const NamedTensors& state);

 private:
  void check(const char* call) const;
  struct Part {
    std::string name;
    Tensor weights, average;
  };
  std::shared_ptr<Optimizer> optimizer_;
  std::vector<Part> parts_;
  std::optional<double> decay_;
  bool warmup_;
  bool swapped_ = false;
  std::int64_t updates_ = 0;
};

}  // namespace attendo::train

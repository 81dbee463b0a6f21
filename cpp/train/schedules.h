#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace attendo::train {

// The learning rate of step t = 1, 2, …
struct Schedule {
  enum class Kind { kConstant, kStep, kExponential, kLinear, kCosine, kCosineRestarts, kNoam, kOneCycle, kPlateau };
  Kind kind = Kind::kConstant;
  double lr = 1e-3;  // the peak; of step, exponential and plateau the first
  double gamma = 0.1;
  double final = 0;
  double factor = 1;  // noam, plateau
  std::int64_t step_size = 1, total_steps = 1, warmup = 0, d_model = 1;
  std::int64_t period = 1, mult = 1;                                // cosine_restarts
  double pct_start = 0.3, div_factor = 25, final_div_factor = 1e4;  // one_cycle
  bool cosine_anneal = true;                                        // one_cycle
  std::int64_t patience = 10, cooldown = 0;                         // plateau
  double threshold = 1e-4, min_lr = 0;                              // plateau
  bool minimize = true, relative = true;                            // plateau

  static Schedule constant(double lr);
  static Schedule step(double lr, std::int64_t step_size, double gamma);
  static Schedule exponential(double lr, double gamma);
  static Schedule linear(double lr, std::int64_t total_steps, std::int64_t warmup, double final);
  static Schedule cosine(double lr, std::int64_t total_steps, std::int64_t warmup, double final);
  static Schedule cosine_restarts(double lr, std::int64_t period, std::int64_t mult, double final, std::int64_t warmup);
  static Schedule noam(std::int64_t d_model, std::int64_t warmup, double factor);
  static Schedule one_cycle(double max_lr, std::int64_t total_steps, double pct_start, double div_factor,
                            double final_div_factor, const std::string& anneal);
  static Schedule plateau(double lr, double factor, std::int64_t patience, double threshold, double min_lr,
                          std::int64_t cooldown, const std::string& mode, const std::string& threshold_mode);

  // Of a plateau: the first rate, whatever the step. Plateau knows the rate it has come to.
  double operator()(std::int64_t t) const;

  const char* name() const;
  using Value = std::variant<double, std::int64_t, std::string>;
  std::vector<std::pair<const char*, Value>> options() const;  // what the function of this name takes
  std::string repr() const;
};

// How far a schedule of the kind plateau has come: it follows what is observed, not the steps.
struct Plateau {
  explicit Plateau(const Schedule& schedule);
  void observe(const Schedule& schedule, double value);
  double rate, best;
  std::int64_t bad = 0, cooldown = 0;  // observations without progress; observations left that do not count
};

}  // namespace attendo::train

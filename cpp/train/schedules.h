#pragma once

#include <cstdint>
#include <string>

namespace attendo::train {

// The learning rate of step t = 1, 2, …
struct Schedule {
  enum class Kind { kConstant, kStep, kCosine, kNoam };
  Kind kind = Kind::kConstant;
  double lr = 1e-3;                          // peak (constant, step, cosine)
  std::int64_t step_size = 1;                // step
  double gamma = 0.1;                        // step
  std::int64_t total_steps = 1, warmup = 0;  // cosine; noam uses warmup
  double final = 0;                          // cosine
  std::int64_t d_model = 1;                  // noam
  double factor = 1;                         // noam

  static Schedule constant(double lr);
  static Schedule step(double lr, std::int64_t step_size, double gamma);
  static Schedule cosine(double lr, std::int64_t total_steps, std::int64_t warmup, double final);
  static Schedule noam(std::int64_t d_model, std::int64_t warmup, double factor);

  double operator()(std::int64_t t) const;
  std::string repr() const;
};

}  // namespace attendo::train

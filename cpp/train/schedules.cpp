// Learning-rate schedules; t = 1, 2, … counts optimizer steps
//
//   constant   lr
//   step       lr γ^⌊(t-1)/step_size⌋
//   cosine     t <= w: lr t/w        else  final + (lr - final)(1 + cos(π (t - w)/(total - w))) / 2,  w = warmup
//   noam       factor d_model^(-1/2) min(t^(-1/2), t w^(-3/2))
//
// Noam: Vaswani et al. 2017, eq. 3.  Cosine: Loshchilov and Hutter 2017, eq. 5.   Article 004 §9.
#include "train/schedules.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace attendo::train {
namespace {

void check_rate(const char* schedule, const char* name, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    value_error(schedule, ": ", name, " is ", value, " but must be 0 or more");
}

void check_steps(const char* schedule, const char* name, std::int64_t value, std::int64_t least) {
  if (value < least) value_error(schedule, ": ", name, " is ", value, " but must be ", least, " or more");
}

}  // namespace

Schedule Schedule::constant(double lr) {
  check_rate("constant", "lr", lr);
  Schedule s;
  s.lr = lr;
  return s;
}

Schedule Schedule::step(double lr, std::int64_t step_size, double gamma) {
  check_rate("step", "lr", lr);
  check_steps("step", "step_size", step_size, 1);
  check_rate("step", "gamma", gamma);
  Schedule s;
  s.kind = Kind::kStep, s.lr = lr, s.step_size = step_size, s.gamma = gamma;
  return s;
}

Schedule Schedule::cosine(double lr, std::int64_t total_steps, std::int64_t warmup, double final) {
  check_rate("cosine", "lr", lr);
  check_rate("cosine", "final", final);
  check_steps("cosine", "warmup", warmup, 0);
  check_steps("cosine", "total_steps", total_steps, warmup + 1);
  Schedule s;
  s.kind = Kind::kCosine, s.lr = lr, s.total_steps = total_steps, s.warmup = warmup, s.final = final;
  return s;
}

Schedule Schedule::noam(std::int64_t d_model, std::int64_t warmup, double factor) {
  check_steps("noam", "d_model", d_model, 1);
  check_steps("noam", "warmup", warmup, 1);
  check_rate("noam", "factor", factor);
  Schedule s;
  s.kind = Kind::kNoam, s.d_model = d_model, s.warmup = warmup, s.factor = factor;
  return s;
}

double Schedule::operator()(std::int64_t t) const {
  const double step = static_cast<double>(t), w = static_cast<double>(warmup);
  switch (kind) {
    case Kind::kConstant: return lr;
    case Kind::kStep: return lr * std::pow(gamma, static_cast<double>((t - 1) / step_size));
    case Kind::kCosine: {
      if (t <= warmup) return lr * step / w;
      const double progress = std::min(1.0, (step - w) / (static_cast<double>(total_steps) - w));
      return final + 0.5 * (lr - final) * (1 + std::cos(std::numbers::pi * progress));
    }
    case Kind::kNoam:
      return factor / std::sqrt(static_cast<double>(d_model)) * std::min(1 / std::sqrt(step), step * std::pow(w, -1.5));
  }
  return lr;
}

std::string Schedule::repr() const {
  switch (kind) {
    case Kind::kConstant: return concat("constant(", lr, ")");
    case Kind::kStep: return concat("step(", lr, ", step_size=", step_size, ", gamma=", gamma, ")");
    case Kind::kCosine:
      return concat("cosine(", lr, ", total_steps=", total_steps, ", warmup=", warmup, ", final=", final, ")");
    case Kind::kNoam: return concat("noam(", d_model, ", warmup=", warmup, ", factor=", factor, ")");
  }
  return "";
}

}  // namespace attendo::train

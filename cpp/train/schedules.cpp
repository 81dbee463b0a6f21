// Learning-rate schedules; t = 1, 2, … counts optimizer steps, w = warmup
//
//   constant         lr
//   step             lr γ^⌊(t-1)/step_size⌋
//   exponential      lr γ^(t-1)
//   linear, cosine   t <= w: lr t/w        else  final + (lr - final) s,   r = (t - w)/(total - w) <= 1
//                    linear: s = 1 - r     cosine: s = (1 + cos(π r))/2
//   cosine_restarts  t <= w: lr t/w        else  the cosine with r = c/T;  c counts from 0 to T - 1, then anew with T mult
//   noam             factor d_model^(-1/2) min(t^(-1/2), t w^(-3/2))
//   one_cycle        from max/div up to max at step p = pct_start total, down to max/(div final_div) at step total;
//                    each way along half a cosine, or straight
//   plateau          after more than `patience` observations that are not better than the best: rate = max(factor rate,
//                    min_lr); better: value < best (1 - threshold), or < best - threshold.  `cooldown` observations then
//                    do not count.
//
// Noam: Vaswani et al. 2017, eq. 3.  Cosine, restarts: Loshchilov and Hutter 2017, eq. 5.  One cycle: Smith and Topin 2018.
// Article 004 §9.
#include "train/schedules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"

namespace attendo::train {
namespace {

void check_rate(const char* schedule, const char* name, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    value_error(schedule, ": ", name, " is ", value, " but must be 0 or more");
}

void check_above(const char* schedule, const char* name, double value, double bound) {
  if (!(value > bound) || !std::isfinite(value))
    value_error(schedule, ": ", name, " is ", value, " but must be above ", bound);
}

void check_steps(const char* schedule, const char* name, std::int64_t value, std::int64_t least) {
  if (value < least) value_error(schedule, ": ", name, " is ", value, " but must be ", least, " or more");
}

// A rate that the schedule comes to within its first changes; `of` says which.
void check_finite(const char* schedule, const char* name, double value, const char* of, double rate) {
  if (!std::isfinite(rate))
    value_error(schedule, ": ", name, " is ", value, ", which makes ", of, " ", rate, " but it must be finite");
}

bool choose(const char* schedule, const char* name, const std::string& value, const char* yes, const char* no) {
  if (value != yes && value != no)
    value_error(schedule, ": ", name, " is '", value, "' but must be '", yes, "' or '", no, "'");
  return value == yes;
}

// From `begin` to `end`, r from 0 to 1.
double half_cosine(double begin, double end, double r) {
  return end + 0.5 * (begin - end) * (1 + std::cos(std::numbers::pi * r));
}

double straight(double begin, double end, double r) { return begin + (end - begin) * r; }

double restarts(const Schedule& s, std::int64_t t) {
  std::int64_t c = t - 1 - s.warmup, period = s.period;
  if (s.mult == 1) {
    c %= period;
  } else {
    while (c >= period) {
      c -= period;
      if (period > std::numeric_limits<std::int64_t>::max() / s.mult) break;
      period *= s.mult;
    }
  }
  return half_cosine(s.lr, s.final, static_cast<double>(c) / static_cast<double>(period));
}

double one_cycle_rate(const Schedule& s, std::int64_t t) {
  const double first = s.lr / s.div_factor, last = first / s.final_div_factor;
  // PyTorch counts from 0.
  const double total = static_cast<double>(s.total_steps), peak = s.pct_start * total - 1;
  const double c = std::min(static_cast<double>(t), total) - 1;
  const auto anneal = s.cosine_anneal ? half_cosine : straight;
  if (c <= peak) return anneal(first, s.lr, peak > 0 ? c / peak : 1);
  return anneal(s.lr, last, (c - peak) / (total - 1 - peak));
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
  check_finite("step", "gamma", gamma, "the rate after two changes", lr * (gamma * gamma));
  Schedule s;
  s.kind = Kind::kStep, s.lr = lr, s.step_size = step_size, s.gamma = gamma;
  return s;
}

Schedule Schedule::exponential(double lr, double gamma) {
  check_rate("exponential", "lr", lr);
  check_rate("exponential", "gamma", gamma);
  check_finite("exponential", "gamma", gamma, "the rate of the third step", lr * (gamma * gamma));
  Schedule s;
  s.kind = Kind::kExponential, s.lr = lr, s.gamma = gamma;
  return s;
}

Schedule Schedule::linear(double lr, std::int64_t total_steps, std::int64_t warmup, double final) {
  check_rate("linear", "lr", lr);
  check_rate("linear", "final", final);
  check_steps("linear", "warmup", warmup, 0);
  check_steps("linear", "total_steps", total_steps, 1);
  if (total_steps <= warmup) value_error("linear: total_steps is ", total_steps, " but must be above warmup, ", warmup);
  Schedule s;
  s.kind = Kind::kLinear, s.lr = lr, s.total_steps = total_steps, s.warmup = warmup, s.final = final;
  return s;
}

Schedule Schedule::cosine(double lr, std::int64_t total_steps, std::int64_t warmup, double final) {
  check_rate("cosine", "lr", lr);
  check_rate("cosine", "final", final);
  check_steps("cosine", "warmup", warmup, 0);
  check_steps("cosine", "total_steps", total_steps, 1);
  if (total_steps <= warmup) value_error("cosine: total_steps is ", total_steps, " but must be above warmup, ", warmup);
  Schedule s;
  s.kind = Kind::kCosine, s.lr = lr, s.total_steps = total_steps, s.warmup = warmup, s.final = final;
  return s;
}

Schedule Schedule::cosine_restarts(double lr, std::int64_t period, std::int64_t mult, double final,
                                   std::int64_t warmup) {
  check_rate("cosine_restarts", "lr", lr);
  check_steps("cosine_restarts", "period", period, 1);
  check_steps("cosine_restarts", "mult", mult, 1);
  check_rate("cosine_restarts", "final", final);
  check_steps("cosine_restarts", "warmup", warmup, 0);
  Schedule s;
  s.kind = Kind::kCosineRestarts, s.lr = lr, s.period = period, s.mult = mult, s.final = final, s.warmup = warmup;
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

Schedule Schedule::one_cycle(double max_lr, std::int64_t total_steps, double pct_start, double div_factor,
                             double final_div_factor, const std::string& anneal) {
  check_rate("one_cycle", "max_lr", max_lr);
  check_steps("one_cycle", "total_steps", total_steps, 1);
  if (!(pct_start >= 0 && pct_start <= 1))
    value_error("one_cycle: pct_start is ", pct_start, " but must be between 0 and 1");
  check_above("one_cycle", "div_factor", div_factor, 0);
  check_above("one_cycle", "final_div_factor", final_div_factor, 0);
  const double first = max_lr / div_factor;
  check_finite("one_cycle", "div_factor", div_factor, "the first rate", first);
  check_finite("one_cycle", "final_div_factor", final_div_factor, "the last rate", first / final_div_factor);
  Schedule s;
  s.kind = Kind::kOneCycle, s.lr = max_lr, s.total_steps = total_steps, s.pct_start = pct_start;
  s.div_factor = div_factor, s.final_div_factor = final_div_factor;
  s.cosine_anneal = choose("one_cycle", "anneal", anneal, "cos", "linear");
  return s;
}

Schedule Schedule::plateau(double lr, double factor, std::int64_t patience, double threshold, double min_lr,
                           std::int64_t cooldown, const std::string& mode, const std::string& threshold_mode) {
  check_rate("plateau", "lr", lr);
  if (!(factor >= 0 && factor < 1)) value_error("plateau: factor is ", factor, " but must be 0 or more and below 1");
  check_steps("plateau", "patience", patience, 0);
  check_rate("plateau", "threshold", threshold);
  check_rate("plateau", "min_lr", min_lr);
  check_steps("plateau", "cooldown", cooldown, 0);
  Schedule s;
  s.kind = Kind::kPlateau, s.lr = lr, s.factor = factor, s.patience = patience, s.threshold = threshold;
  s.min_lr = min_lr, s.cooldown = cooldown;
  s.minimize = choose("plateau", "mode", mode, "min", "max");
  s.relative = choose("plateau", "threshold_mode", threshold_mode, "rel", "abs");
  return s;
}

double Schedule::operator()(std::int64_t t) const {
  const double step = static_cast<double>(t), w = static_cast<double>(warmup);
  const bool rises = kind == Kind::kLinear || kind == Kind::kCosine || kind == Kind::kCosineRestarts;
  if (rises && t <= warmup) return lr * step / w;
  switch (kind) {
    case Kind::kConstant:
    case Kind::kPlateau: return lr;
    case Kind::kStep: return lr * std::pow(gamma, static_cast<double>((t - 1) / step_size));
    case Kind::kExponential: return lr * std::pow(gamma, step - 1);
    case Kind::kLinear: return straight(lr, final, std::min(1.0, (step - w) / (static_cast<double>(total_steps) - w)));
    case Kind::kCosine:
      return half_cosine(lr, final, std::min(1.0, (step - w) / (static_cast<double>(total_steps) - w)));
    case Kind::kCosineRestarts: return restarts(*this, t);
    case Kind::kNoam:
      return factor / std::sqrt(static_cast<double>(d_model)) * std::min(1 / std::sqrt(step), step * std::pow(w, -1.5));
    case Kind::kOneCycle: return one_cycle_rate(*this, t);
  }
  return lr;
}

const char* Schedule::name() const {
  switch (kind) {
    case Kind::kConstant: return "constant";
    case Kind::kStep: return "step";
    case Kind::kExponential: return "exponential";
    case Kind::kLinear: return "linear";
    case Kind::kCosine: return "cosine";
    case Kind::kCosineRestarts: return "cosine_restarts";
    case Kind::kNoam: return "noam";
    case Kind::kOneCycle: return "one_cycle";
    case Kind::kPlateau: return "plateau";
  }
  return "";
}

std::vector<std::pair<const char*, Schedule::Value>> Schedule::options() const {
  switch (kind) {
    case Kind::kConstant: return {{"lr", lr}};
    case Kind::kStep: return {{"lr", lr}, {"step_size", step_size}, {"gamma", gamma}};
    case Kind::kExponential: return {{"lr", lr}, {"gamma", gamma}};
    case Kind::kLinear:
    case Kind::kCosine: return {{"lr", lr}, {"total_steps", total_steps}, {"warmup", warmup}, {"final", final}};
    case Kind::kCosineRestarts:
      return {{"lr", lr}, {"period", period}, {"mult", mult}, {"final", final}, {"warmup", warmup}};
    case Kind::kNoam: return {{"d_model", d_model}, {"warmup", warmup}, {"factor", factor}};
    case Kind::kOneCycle:
      return {{"max_lr", lr},
              {"total_steps", total_steps},
              {"pct_start", pct_start},
              {"div_factor", div_factor},
              {"final_div_factor", final_div_factor},
              {"anneal", std::string(cosine_anneal ? "cos" : "linear")}};
    case Kind::kPlateau:
      return {{"lr", lr},
              {"factor", factor},
              {"patience", patience},
              {"threshold", threshold},
              {"min_lr", min_lr},
              {"cooldown", cooldown},
              {"mode", std::string(minimize ? "min" : "max")},
              {"threshold_mode", std::string(relative ? "rel" : "abs")}};
  }
  return {};
}

std::string Schedule::repr() const {
  std::string text = concat(name(), "(");
  bool first = true;
  for (const auto& [key, value] : options()) {
    if (!first) text += concat(", ", key, "=");
    first = false;
    if (const auto* word = std::get_if<std::string>(&value)) {
      text += concat("'", *word, "'");
    } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
      text += concat(*whole);
    } else {
      text += concat(std::get<double>(value));
    }
  }
  return text + ")";
}

Plateau::Plateau(const Schedule& schedule)
    : rate(schedule.lr),
      best(schedule.minimize ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity()) {}

void Plateau::observe(const Schedule& s, double value) {
  // Steps smaller than this are not made, as in PyTorch.
  constexpr double kSmallest = 1e-8;
  const double sign = s.minimize ? 1 : -1;
  const double bound = s.relative ? best * (1 - sign * s.threshold) : best - sign * s.threshold;
  if (s.minimize ? value < bound : value > bound) {
    best = value;
    bad = 0;
  } else {
    ++bad;  // NaN as well
  }
  if (cooldown > 0) {
    --cooldown;
    bad = 0;
  }
  if (bad > s.patience) {
    const double lower = std::max(s.factor * rate, s.min_lr);
    if (rate - lower > kSmallest) rate = lower;
    cooldown = s.cooldown;
    bad = 0;
  }
}

}  // namespace attendo::train

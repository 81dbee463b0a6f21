// Adagrad; g: gradient, w: weight, η: learning rate, λ: weight decay, κ: decay of the rate, t = 1, 2, …
//
//   g' = g + λ w;   v = v + g'²;   w -= η/(1 + (t-1) κ) · g' / (√v + ε)
//
// v begins at initial_accumulator_value. A row whose gradient is zero does not move, so that a table is stepped row by row
// to the same numbers.
//
// Duchi et al. 2011, eq. 1 (diagonal).
#include "train/adagrad.h"

#include <cmath>

#include "core/parallel.h"

namespace attendo::train {
namespace {

template <typename T>
struct Rates {
  T rate, eps, decay, grad_scale;
  Rates(const Options& o, std::int64_t t, double lr, double scale)
      : rate(static_cast<T>(lr / (1 + static_cast<double>(t - 1) * o.lr_decay))),
        eps(static_cast<T>(o.eps)),
        decay(static_cast<T>(o.weight_decay)),
        grad_scale(static_cast<T>(scale)) {}
};

template <typename T>
void adagrad(T* __restrict w, T* __restrict v, const T* __restrict g, const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = g[i] * r.grad_scale + r.decay * w[i];
    v[i] += d * d;
    w[i] -= r.rate * (d / (std::sqrt(v[i]) + r.eps));
  }
}

}  // namespace

Adagrad::Adagrad(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
    : Optimizer(schedule, options, std::move(groups)) {
  check_options();
}

void Adagrad::check(const std::string& op, const Options& o) const {
  check_not_negative(op, "lr_decay", o.lr_decay);
  check_not_negative(op, "weight_decay", o.weight_decay);
  check_not_negative(op, "initial_accumulator_value", o.initial_accumulator_value);
  check_not_negative(op, "eps", o.eps);
}

std::vector<const char*> Adagrad::slot_names(const Options&) const { return {"sum"}; }

void Adagrad::update(const Flat& flat, const Options& o, const Step& step) {
  dispatch_float("Adagrad", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> rates(o, step.t, step.lr, step.grad_scale);
    parallel_ranges(flat.weights.size(), kStepGrain, [&](Index begin, Index end) {
      adagrad(flat.weights.data<T>() + begin, flat.slots[0].data<T>() + begin, flat.grads.data<T>() + begin, rates,
              end - begin);
    });
  });
}

void Adagrad::check_sparse(const Options& o) const { check_no_sparse("Adagrad", "weight_decay", o.weight_decay); }

void Adagrad::update_rows(const Table& table, const Options& o, const RowGrad& grad, const Step& step) {
  dispatch_float("Adagrad", "weights", table.weight, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> rates(o, step.t, step.lr, step.grad_scale);
    const std::int64_t* ids = grad.ids.data<std::int64_t>();
    const Index d = grad.rows.dim(1);
    parallel_ranges(grad.ids.size(), rows_per_task(4 * d), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        adagrad(table.weight.data<T>() + ids[r] * d, table.slots[0].data<T>() + ids[r] * d, grad.rows.data<T>() + r * d,
                rates, d);
      }
    });
  });
}

}  // namespace attendo::train

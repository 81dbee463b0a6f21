// SGD; g: gradient, w: weight, η: learning rate, λ: weight decay, μ: momentum, τ: dampening
//
//   g' = g + λ w;   u = μ u + (1-τ) g' (u = g' at t = 1);   w -= η u      Nesterov: w -= η (g' + μ u)
//
// Sutskever et al. 2013.   Article 004 §9.
#include "train/sgd.h"

#include "core/parallel.h"

namespace attendo::train {
namespace {

template <typename T>
struct Rates {
  T lr, mu, keep, fresh, decay, grad_scale;  // u = keep u + fresh g'
};

template <typename T>
void plain(T* __restrict w, const T* __restrict g, const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) w[i] -= r.lr * (g[i] * r.grad_scale + r.decay * w[i]);
}

template <typename T>
void with_momentum(T* __restrict w, T* __restrict u, const T* __restrict g, const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) {
    u[i] = r.keep * u[i] + r.fresh * (g[i] * r.grad_scale + r.decay * w[i]);
    w[i] -= r.lr * u[i];
  }
}

template <typename T>
void nesterov(T* __restrict w, T* __restrict u, const T* __restrict g, const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = g[i] * r.grad_scale + r.decay * w[i];
    u[i] = r.keep * u[i] + r.fresh * d;
    w[i] -= r.lr * (d + r.mu * u[i]);
  }
}

}  // namespace

Sgd::Sgd(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
    : Optimizer(schedule, options, std::move(groups)) {
  check_options();
}

void Sgd::check(const std::string& op, const Options& o) const {
  check_fraction(op, "momentum", o.momentum);
  check_fraction(op, "dampening", o.dampening);
  check_not_negative(op, "weight_decay", o.weight_decay);
  if (o.nesterov && o.momentum == 0) value_error(op, ": nesterov needs momentum above 0");
  if (o.nesterov && o.dampening != 0) value_error(op, ": nesterov needs dampening 0, but it is ", o.dampening);
}

std::vector<const char*> Sgd::slot_names(const Options& o) const {
  return o.momentum > 0 ? std::vector<const char*>{"velocity"} : std::vector<const char*>{};
}

void Sgd::update(const Flat& flat, const Options& o, const Step& step) {
  dispatch_float("SGD", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    const bool first = step.t == 1;
    const Rates<T> rates{static_cast<T>(step.lr),
                         static_cast<T>(o.momentum),
                         first ? T(0) : static_cast<T>(o.momentum),
                         first ? T(1) : static_cast<T>(1 - o.dampening),
                         static_cast<T>(o.weight_decay),
                         static_cast<T>(step.grad_scale)};
    parallel_ranges(flat.weights.size(), kStepGrain, [&](Index begin, Index end) {
      T* w = flat.weights.data<T>() + begin;
      const T* g = flat.grads.data<T>() + begin;
      T* u = flat.slots.empty() ? nullptr : flat.slots[0].data<T>() + begin;
      if (u == nullptr) {
        plain(w, g, rates, end - begin);
      } else if (o.nesterov) {
        nesterov(w, u, g, rates, end - begin);
      } else {
        with_momentum(w, u, g, rates, end - begin);
      }
    });
  });
}

void Sgd::check_sparse(const Options& o) const {
  check_no_sparse("SGD", "momentum", o.momentum);
  check_no_sparse("SGD", "weight_decay", o.weight_decay);
}

void Sgd::update_rows(const Table& table, const Options&, const RowGrad& grad, const Step& step) {
  dispatch_float("SGD", "weights", table.weight, [&](auto zero) {
    using T = decltype(zero);
    T* w = table.weight.data<T>();
    const T* g = grad.rows.data<T>();
    const std::int64_t* ids = grad.ids.data<std::int64_t>();
    const Index d = grad.rows.dim(1);
    const Rates<T> rates{static_cast<T>(step.lr), 0, 0, 0, 0, static_cast<T>(step.grad_scale)};
    parallel_ranges(grad.ids.size(), rows_per_task(d), [=](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) plain(w + ids[r] * d, g + r * d, rates, d);
    });
  });
}

}  // namespace attendo::train

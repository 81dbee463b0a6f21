// RMSprop; g: gradient, w: weight, η: learning rate, λ: weight decay, μ: momentum
//
//   g' = g + λ w;   v = α v + (1-α) g'²;   s = √v + ε
//   centered:       a = α a + (1-α) g';    s = √max(v - a², 0) + ε
//   w -= η g'/s     with momentum: u = μ u + g'/s;   w -= η u
//
// Tieleman and Hinton 2012, lecture 6.5; centered: Graves 2013, eq. 38–41, with ε outside the root, as PyTorch has it.
#include "train/rmsprop.h"

#include <cmath>

#include "core/parallel.h"

namespace attendo::train {
namespace {

template <typename T>
struct Rates {
  T lr, alpha, eps, mu, decay, grad_scale;
};

// Written out for each of the four, since a test within the loop would keep it from being vectorised.
template <bool kCentered, bool kMomentum, typename T>
void rmsprop(T* __restrict w, T* __restrict v, T* __restrict a, T* __restrict u, const T* __restrict g,
             const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = g[i] * r.grad_scale + r.decay * w[i];
    v[i] = r.alpha * v[i] + (1 - r.alpha) * (d * d);
    T square = v[i];
    if constexpr (kCentered) {
      a[i] = r.alpha * a[i] + (1 - r.alpha) * d;
      square -= a[i] * a[i];
      square = square < 0 ? T(0) : square;
    }
    T pace = d / (std::sqrt(square) + r.eps);
    if constexpr (kMomentum) pace = u[i] = r.mu * u[i] + pace;
    w[i] -= r.lr * pace;
  }
}

}  // namespace

RmsProp::RmsProp(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
    : Optimizer(schedule, options, std::move(groups)) {
  check_options();
}

void RmsProp::check(const std::string& op, const Options& o) const {
  check_fraction(op, "alpha", o.alpha);
  check_not_negative(op, "eps", o.eps);
  check_not_negative(op, "weight_decay", o.weight_decay);
  check_fraction(op, "momentum", o.momentum);
}

std::vector<const char*> RmsProp::slot_names(const Options& o) const {
  std::vector<const char*> names = {"square"};
  if (o.centered) names.push_back("mean");
  if (o.momentum > 0) names.push_back("velocity");
  return names;
}

void RmsProp::update(const Flat& flat, const Options& o, const Step& step) {
  dispatch_float("RMSprop", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> rates{static_cast<T>(step.lr),    static_cast<T>(o.alpha),        static_cast<T>(o.eps),
                         static_cast<T>(o.momentum), static_cast<T>(o.weight_decay), static_cast<T>(step.grad_scale)};
    parallel_ranges(flat.weights.size(), kStepGrain, [&](Index begin, Index end) {
      const auto at = [&](const Tensor& x) { return x.data<T>() + begin; };
      const bool momentum = o.momentum > 0;
      T* a = o.centered ? at(flat.slots[1]) : nullptr;
      T* u = momentum ? at(flat.slots.back()) : nullptr;
      const auto run = o.centered ? (momentum ? rmsprop<true, true, T> : rmsprop<true, false, T>)
                                  : (momentum ? rmsprop<false, true, T> : rmsprop<false, false, T>);
      run(at(flat.weights), at(flat.slots[0]), a, u, at(flat.grads), rates, end - begin);
    });
  });
}

void RmsProp::check_sparse(const Options&) const { refuse_sparse("RMSprop"); }

void RmsProp::update_rows(const Table&, const Options& o, const RowGrad&, const Step&) { check_sparse(o); }

}  // namespace attendo::train

// Lion; g: gradient, w: weight, η: learning rate, λ: weight decay
//
//   c = β₁ m + (1-β₁) g;   w -= η (sign(c) + λ w);   m = β₂ m + (1-β₂) g
//
// Chen et al. 2023, algorithm 2.
#include "train/lion.h"

#include "core/parallel.h"

namespace attendo::train {
namespace {

template <typename T>
struct Rates {
  T lr, beta1, beta2, decay, grad_scale;
};

template <typename T>
void lion(T* __restrict w, T* __restrict m, const T* __restrict g, const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = g[i] * r.grad_scale, c = r.beta1 * m[i] + (1 - r.beta1) * d;
    const T positive = c > 0 ? T(1) : c;
    const T sign = c < 0 ? T(-1) : positive;  // of NaN: NaN
    w[i] = w[i] - r.decay * w[i] - r.lr * sign;
    m[i] = r.beta2 * m[i] + (1 - r.beta2) * d;
  }
}

}  // namespace

Lion::Lion(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
    : Optimizer(schedule, options, std::move(groups)) {
  check_options();
}

void Lion::check(const std::string& op, const Options& o) const {
  check_fraction(op, "betas[0]", o.beta1);
  check_fraction(op, "betas[1]", o.beta2);
  check_not_negative(op, "weight_decay", o.weight_decay);
}

std::vector<const char*> Lion::slot_names(const Options&) const { return {"m"}; }

void Lion::update(const Flat& flat, const Options& o, const Step& step) {
  dispatch_float("Lion", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> rates{static_cast<T>(step.lr), static_cast<T>(o.beta1), static_cast<T>(o.beta2),
                         static_cast<T>(step.lr * o.weight_decay), static_cast<T>(step.grad_scale)};
    parallel_ranges(flat.weights.size(), kStepGrain, [&](Index begin, Index end) {
      lion(flat.weights.data<T>() + begin, flat.slots[0].data<T>() + begin, flat.grads.data<T>() + begin, rates,
           end - begin);
    });
  });
}

void Lion::check_sparse(const Options&) const { refuse_sparse("Lion"); }

void Lion::update_rows(const Table&, const Options& o, const RowGrad&, const Step&) { check_sparse(o); }

}  // namespace attendo::train

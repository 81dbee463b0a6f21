// Adam and AdamW; g: gradient, w: weight, η: learning rate, λ: weight decay, t = 1, 2, …
//
//   Adam     g' = g + λ w;   m = β₁ m + (1-β₁) g';   v = β₂ v + (1-β₂) g'²
//            w -= η/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)
//   AdamW    w *= 1 - η λ;   then Adam with g' = g
//   AMSGrad  x = max(x, v) in place of v in the root
//
// Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; Reddi et al. 2018, algorithm 2.
// Articles 000 §5.2, 002 §5.2.
#include "train/adam.h"

#include <cmath>

#include "core/parallel.h"
#include "kernels/rows.h"

namespace attendo::train {
namespace {

template <typename T>
struct Rates {
  T rate, beta1, beta2, eps, rsqrt_correction2, l2, decay, grad_scale;
  Rates(const Options& o, std::int64_t t, double lr, double scale, bool decoupled) {
    const double correction1 = 1 - std::pow(o.beta1, static_cast<double>(t));
    const double correction2 = 1 - std::pow(o.beta2, static_cast<double>(t));
    rate = static_cast<T>(lr / correction1), beta1 = static_cast<T>(o.beta1), beta2 = static_cast<T>(o.beta2);
    eps = static_cast<T>(o.eps), rsqrt_correction2 = static_cast<T>(1 / std::sqrt(correction2));
    l2 = static_cast<T>(decoupled ? 0 : o.weight_decay), decay = static_cast<T>(decoupled ? lr * o.weight_decay : 0);
    grad_scale = static_cast<T>(scale);
  }
};

template <typename T>
void amsgrad(T* __restrict w, T* __restrict m, T* __restrict v, T* __restrict x, const T* __restrict g,
             const Rates<T>& r, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = g[i] * r.grad_scale + r.l2 * w[i];
    m[i] = r.beta1 * m[i] + (1 - r.beta1) * d;
    v[i] = r.beta2 * v[i] + (1 - r.beta2) * (d * d);
    x[i] = x[i] > v[i] ? x[i] : v[i];
    w[i] = w[i] - r.decay * w[i] - r.rate * m[i] / (std::sqrt(x[i]) * r.rsqrt_correction2 + r.eps);
  }
}

}  // namespace

Adam::Adam(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups, bool decoupled)
    : Optimizer(schedule, options, std::move(groups)), decoupled_(decoupled) {
  check_options();
}

void Adam::check(const std::string& op, const Options& o) const {
  check_fraction(op, "betas[0]", o.beta1);
  check_fraction(op, "betas[1]", o.beta2);
  check_not_negative(op, "eps", o.eps);
  check_not_negative(op, "weight_decay", o.weight_decay);
}

std::vector<const char*> Adam::slot_names(const Options& o) const {
  return o.amsgrad ? std::vector<const char*>{"m", "v", "max_v"} : std::vector<const char*>{"m", "v"};
}

void Adam::update(const Flat& flat, const Options& o, const Step& step) {
  dispatch_float("Adam", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> r(o, step.t, step.lr, step.grad_scale, decoupled_);
    T* w = flat.weights.data<T>();
    const T* g = flat.grads.data<T>();
    T* m = flat.slots[0].data<T>();
    T* v = flat.slots[1].data<T>();
    T* x = o.amsgrad ? flat.slots[2].data<T>() : nullptr;
    parallel_ranges(flat.weights.size(), kStepGrain, [&](Index begin, Index end) {
      if (x != nullptr) {
        amsgrad(w + begin, m + begin, v + begin, x + begin, g + begin, r, end - begin);
      } else {
        kernels::row_kernels<T>().adam(w + begin, m + begin, v + begin, g + begin, r.rate, r.beta1, r.beta2, r.eps,
                                       r.rsqrt_correction2, r.l2, r.decay, r.grad_scale, end - begin);
      }
    });
  });
}

void Adam::check_sparse(const Options& o) const {
  check_no_sparse(name(), "weight_decay", o.weight_decay);
  if (o.amsgrad) value_error(name(), ": amsgrad is not there for the tables of a layer with sparse=True");
}

// Moments decay in the steps that have a gradient for the row; t counts all steps. Every row in every step: Adam.
void Adam::update_rows(const Table& table, const Options& o, const RowGrad& grad, const Step& step) {
  dispatch_float("Adam", "weights", table.weight, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> s(o, step.t, step.lr, step.grad_scale, decoupled_);
    const Index d = grad.rows.dim(1);
    parallel_ranges(grad.ids.size(), rows_per_task(8 * d), [&](Index begin, Index end) {
      kernels::row_kernels<T>().adam_rows(table.weight.data<T>(), table.slots[0].data<T>(), table.slots[1].data<T>(),
                                          grad.rows.data<T>() + begin * d, grad.ids.data<std::int64_t>() + begin,
                                          s.rate, s.beta1, s.beta2, s.eps, s.rsqrt_correction2, s.grad_scale,
                                          end - begin, d);
    });
  });
}

}  // namespace attendo::train

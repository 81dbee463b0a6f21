// LAMB; g: gradient, w: weight, η: learning rate, λ: weight decay, t = 1, 2, …
//
//   m = β₁ m + (1-β₁) g;   v = β₂ v + (1-β₂) g²
//   r = m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε) + λ w
//   w -= η ‖w‖/‖r‖ r       norms over one parameter; the ratio is 1 where one of them is 0
//
// You et al. 2020, algorithm 2, with φ(z) = z.
#include "train/lamb.h"

#include <cmath>

#include "core/parallel.h"

namespace attendo::train {
namespace {

constexpr Index kLanes = 8;

template <typename T>
struct Rates {
  T beta1, beta2, eps, correction1, rsqrt_correction2, decay, grad_scale;
  Rates(const Options& o, std::int64_t t, double scale) {
    beta1 = static_cast<T>(o.beta1), beta2 = static_cast<T>(o.beta2), eps = static_cast<T>(o.eps);
    correction1 = static_cast<T>(1 / (1 - std::pow(o.beta1, static_cast<double>(t))));
    rsqrt_correction2 = static_cast<T>(1 / std::sqrt(1 - std::pow(o.beta2, static_cast<double>(t))));
    decay = static_cast<T>(o.weight_decay), grad_scale = static_cast<T>(scale);
  }
};

// r of one element.
template <typename T>
T direction(T w, T m, T v, const Rates<T>& r) {
  return m * r.correction1 / (std::sqrt(v) * r.rsqrt_correction2 + r.eps) + r.decay * w;
}

template <typename T>
void moments(T* __restrict m, T* __restrict v, T* __restrict r, const T* __restrict w, const T* __restrict g,
             const Rates<T>& rates, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = g[i] * rates.grad_scale;
    m[i] = rates.beta1 * m[i] + (1 - rates.beta1) * d;
    v[i] = rates.beta2 * v[i] + (1 - rates.beta2) * (d * d);
    r[i] = direction(w[i], m[i], v[i], rates);
  }
}

// Σ x² in doubles, by lanes: the order of the sum is the same whatever is computed beside it.
template <typename T>
double square(const T* x, Index n) {
  double sums[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Index k = 0; k < kLanes; ++k) sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <typename T>
void walk(T* __restrict w, const T* __restrict m, const T* __restrict v, T rate, const Rates<T>& rates, Index n) {
  for (Index i = 0; i < n; ++i) w[i] -= rate * direction(w[i], m[i], v[i], rates);
}

// A part of one parameter.
struct Piece {
  size_t parameter;
  Index begin, end;  // in the flat buffer
};

// Tasks are runs of pieces: pieces[starts[k]] … pieces[starts[k + 1] - 1], of about kStepGrain elements.
struct Pieces {
  std::vector<Piece> pieces;
  std::vector<size_t> starts = {0};
  explicit Pieces(const std::vector<std::pair<Tensor, Index>>& parameters) {
    Index held = 0;
    for (size_t p = 0; p < parameters.size(); ++p) {
      const Index first = parameters[p].second, last = first + parameters[p].first.size();
      for (Index begin = first; begin < last; begin += kStepGrain) {
        pieces.push_back({p, begin, std::min(last, begin + kStepGrain)});
        held += pieces.back().end - begin;
        if (held < kStepGrain) continue;
        starts.push_back(pieces.size());
        held = 0;
      }
    }
    if (starts.back() != pieces.size()) starts.push_back(pieces.size());
  }
  template <typename Body>
  void each(const Body& body) const {
    parallel_for(static_cast<Index>(starts.size()) - 1, [&](Index task) {
      const size_t k = static_cast<size_t>(task);
      for (size_t i = starts[k]; i < starts[k + 1]; ++i) body(i, pieces[i]);
    });
  }
};

}  // namespace

Lamb::Lamb(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
    : Optimizer(schedule, options, std::move(groups)) {
  check_options();
}

void Lamb::check(const std::string& op, const Options& o) const {
  check_fraction(op, "betas[0]", o.beta1);
  check_fraction(op, "betas[1]", o.beta2);
  check_not_negative(op, "eps", o.eps);
  check_not_negative(op, "weight_decay", o.weight_decay);
}

std::vector<const char*> Lamb::slot_names(const Options&) const { return {"m", "v"}; }

// Pass 1: moments, and the norms of each piece. Pass 2: r again, and the weights.
void Lamb::update(const Flat& flat, const Options& o, const Step& step) {
  dispatch_float("LAMB", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    const Rates<T> rates(o, step.t, step.grad_scale);
    T* w = flat.weights.data<T>();
    const T* g = flat.grads.data<T>();
    T* m = flat.slots[0].data<T>();
    T* v = flat.slots[1].data<T>();
    const Pieces all(flat.parameters);
    std::vector<double> of_w(all.pieces.size()), of_r(all.pieces.size());
    all.each([&](size_t i, const Piece& piece) {
      // By parts that stay in the first cache between the loops.
      constexpr Index kPart = 1024;
      T r[kPart];
      for (Index begin = piece.begin; begin < piece.end; begin += kPart) {
        const Index n = std::min(piece.end - begin, kPart);
        moments(m + begin, v + begin, r, w + begin, g + begin, rates, n);
        of_w[i] += square(w + begin, n);
        of_r[i] += square(r, n);
      }
    });
    std::vector<double> ww(flat.parameters.size()), rr(flat.parameters.size());
    for (size_t i = 0; i < all.pieces.size(); ++i) {
      ww[all.pieces[i].parameter] += of_w[i], rr[all.pieces[i].parameter] += of_r[i];
    }
    all.each([&](size_t, const Piece& piece) {
      const double a = std::sqrt(ww[piece.parameter]), b = std::sqrt(rr[piece.parameter]);
      const double ratio = a == 0 || b == 0 ? 1 : a / b;
      walk(w + piece.begin, m + piece.begin, v + piece.begin, static_cast<T>(step.lr * ratio), rates,
           piece.end - piece.begin);
    });
  });
}

void Lamb::check_sparse(const Options&) const { refuse_sparse("LAMB"); }

void Lamb::update_rows(const Table&, const Options& o, const RowGrad&, const Step&) { check_sparse(o); }

}  // namespace attendo::train

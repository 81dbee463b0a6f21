// Cross-entropy of logits
//
//   forward    loss_i = -Σ_v t_iv log softmax(z_i)_v = lse_i Σ_v t_iv - Σ_v t_iv z_iv,   lse_i = log Σ_v exp(z_iv)
//   backward   dz_iv  = dloss_i (softmax(z_i)_v Σ_w t_iw - t_iv)
//
// t_i: the target's probabilities; for a class index c and label smoothing ε, t_iv = (1 - ε)[v = c] + ε/V.
// z: (rows, V).  The mean divides by the rows that are not ignored.   Szegedy et al. 2016, §7; articles 000 §5.2, 004 §4.1.
#include "ops/cross_entropy.h"

#include <cmath>

#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/rows.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace attendo {
namespace {

// Gradients of more bytes than this are written past the cache: whoever reads them would not find them there.
constexpr size_t kLargestCached = size_t{32} << 20;

struct CrossEntropySaved {
  Tensor logits, target, lse;
  Index rows, classes, ignored;
  double smoothing;
  bool has_ignore;
  Shape shape;

  bool counts(Index row) const { return !has_ignore || target.data<std::int64_t>()[row] != ignored; }
};

template <typename T>
void index_forward(T* loss, const CrossEntropySaved& s) {
  const T* z = s.logits.data<T>();
  const std::int64_t* c = s.target.data<std::int64_t>();
  const Index n = s.classes;
  const T eps = static_cast<T>(s.smoothing);
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    kernels::row_kernels<T>().log_sum_exp(s.lse.data<T>() + begin, z + begin * n, end - begin, n);
    if (eps > T(0)) {
      // As gaps, so that large logits do not cancel.
      kernels::row_kernels<T>().sum_of_gaps(loss + begin, z + begin * n, s.lse.data<T>() + begin, end - begin, n);
    }
    for (Index r = begin; r < end; ++r) {
      if (!s.counts(r)) {
        loss[r] = T(0);
        continue;
      }
      const T lse = s.lse.data<T>()[r];
      T value = (T(1) - eps) * (lse - z[r * n + c[r]]);
      if (eps > T(0)) value += eps / static_cast<T>(n) * loss[r];
      loss[r] = value;
    }
  });
}

// scale[r]: what the row's loss is multiplied by on its way to the result.
template <typename T>
void index_backward(T* d_logits, const T* scale, const CrossEntropySaved& s) {
  const std::int64_t* c = s.target.data<std::int64_t>();
  const Index n = s.classes;
  const T eps = static_cast<T>(s.smoothing);
  const bool stream = s.logits.bytes() > kLargestCached;
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    kernels::row_kernels<T>().softmax_minus(d_logits + begin * n, s.logits.data<T>() + begin * n,
                                            s.lse.data<T>() + begin, scale + begin, eps / static_cast<T>(n), stream,
                                            end - begin, n);
    for (Index r = begin; r < end; ++r) {
      if (scale[r] != T(0)) d_logits[r * n + c[r]] -= (T(1) - eps) * scale[r];
    }
  });
}

template <typename T>
void probability_forward(T* loss, const CrossEntropySaved& s) {
  const Index n = s.classes;
  const T eps = static_cast<T>(s.smoothing);
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    kernels::row_kernels<T>().log_sum_exp(s.lse.data<T>() + begin, s.logits.data<T>() + begin * n, end - begin, n);
    for (Index r = begin; r < end; ++r) {
      const T* z = s.logits.data<T>() + r * n;
      const T* t = s.target.data<T>() + r * n;
      T value = 0;
      for (Index v = 0; v < n; ++v) {
        const T p = (T(1) - eps) * t[v] + eps / static_cast<T>(n);
        if (p != T(0)) value += p * (s.lse.data<T>()[r] - z[v]);  // a class with probability 0 may have a logit of -inf
      }
      loss[r] = value;
    }
  });
}

template <typename T>
void probability_backward(T* d_logits, T* d_target, const T* scale, const CrossEntropySaved& s) {
  const Index n = s.classes;
  const T eps = static_cast<T>(s.smoothing);
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* z = s.logits.data<T>() + r * n;
      const T* t = s.target.data<T>() + r * n;
      const T lse = s.lse.data<T>()[r];
      T total = 0;
      for (Index v = 0; v < n; ++v) total += (T(1) - eps) * t[v] + eps / static_cast<T>(n);
      for (Index v = 0; v < n; ++v) {
        const T p = (T(1) - eps) * t[v] + eps / static_cast<T>(n);
        if (d_logits != nullptr) d_logits[r * n + v] = scale[r] * (std::exp(z[v] - lse) * total - p);
        if (d_target != nullptr) d_target[r * n + v] = scale[r] * (T(1) - eps) * (lse - z[v]);
      }
    }
  });
}

// The rows' losses in differentiable operations; the target is float probabilities where it is not null.
Tensor expanded(const Tensor& logits, const Tensor& target, const CrossEntropySaved& s) {
  const Index n = s.classes;
  const double share = s.smoothing / static_cast<double>(n);
  Tensor z = reshape(logits, {s.rows, n});
  const Tensor kept = Tensor::full({s.rows, n}, DType::kBool, 1);
  bool* keep = kept.data<bool>();
  if (target) {
    const Tensor log_p = log_softmax(z);
    const Tensor t = reshape(add_scalar(scale(target, 1 - s.smoothing), share), {s.rows, n});
    // A class with probability 0 may have a logit of -inf.
    dispatch_float("cross_entropy", "logits", z, [&](auto zero) {
      using T = decltype(zero);
      for (Index i = 0; i < s.rows * n; ++i) keep[i] = t.data<T>()[i] != 0 || std::isfinite(log_p.data<T>()[i]);
    });
    return scale(sum(multiply(t, select(log_p, kept)), std::vector<int>{1}), -1);
  }
  // A row that does not count has no gradient, whatever its logits are.
  const Tensor ids = Tensor::empty({s.rows}, DType::kInt64);
  for (Index r = 0; r < s.rows; ++r) {
    const bool counts = s.counts(r);
    ids.data<std::int64_t>()[r] = counts ? r * n + s.target.data<std::int64_t>()[r] : -1;
    std::fill_n(keep + r * n, n, counts);
  }
  if (s.has_ignore) z = select(z, kept);
  const Tensor log_p = log_softmax(z);
  const Tensor picked = reshape(gather_rows(reshape(log_p, {s.rows * n, 1}), ids), {s.rows});
  const Tensor loss = scale(picked, s.smoothing - 1);
  if (s.smoothing == 0) return loss;
  return subtract(loss, scale(sum(s.has_ignore ? select(log_p, kept) : log_p, std::vector<int>{1}), share));
}

CrossEntropySaved check_cross_entropy(const Tensor& logits, const Tensor& target, std::optional<Index> ignore_index,
                                      double label_smoothing) {
  check_float("cross_entropy", "logits", logits);
  check_defined("cross_entropy", "target", target);
  check_min_rank("cross_entropy", "logits", logits, 1, "(..., V)");
  CrossEntropySaved s;
  s.logits = logits, s.target = target;
  s.classes = logits.dim(-1);
  s.shape = logits.shape().slice(0, logits.rank() - 1);
  s.rows = s.shape.size();
  s.has_ignore = ignore_index.has_value();
  s.ignored = ignore_index.value_or(0);
  s.smoothing = label_smoothing;
  if (s.classes == 0)
    value_error("cross_entropy: logits has shape ", logits.shape(), "; there must be at least one class");
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    value_error("cross_entropy: label_smoothing is ", label_smoothing, " but must be 0 to 1");
  }
  if (target.dtype() == DType::kInt64) {
    if (!(target.shape() == s.shape)) {
      value_error("cross_entropy: target has shape ", target.shape(), " but logits of shape ", logits.shape(),
                  " need class indices of shape ", s.shape);
    }
    const std::int64_t* c = target.data<std::int64_t>();
    for (Index r = 0; r < s.rows; ++r) {
      if (s.counts(r) && (c[r] < 0 || c[r] >= s.classes)) {
        value_error("cross_entropy: target holds ", c[r], " but must hold 0 to ", s.classes - 1,
                    s.has_ignore ? concat(" or ignore_index (", s.ignored, ")") : "");
      }
    }
  } else {
    check_float("cross_entropy", "target", target);
    check_same_dtype("cross_entropy", "target", target, "logits", logits);
    check_shape("cross_entropy", "target", target, logits.shape());
    if (s.has_ignore)
      value_error("cross_entropy: ignore_index goes with class indices, but target holds probabilities");
  }
  return s;
}

// divisor: of the mean; below 0, the rows that count.
Tensor record_cross_entropy(const Tensor& logits, const Tensor& target, std::optional<Index> ignore_index,
                            double label_smoothing, Reduction reduction, double divisor) {
  CrossEntropySaved s = check_cross_entropy(logits, target, ignore_index, label_smoothing);
  const bool by_index = target.dtype() == DType::kInt64;
  s.lse = Tensor::empty({s.rows}, logits.dtype());
  Tensor loss = Tensor::empty(s.shape, logits.dtype());
  if (reduction == Reduction::kMean && divisor < 0) {
    Index counted = 0;
    for (Index r = 0; r < s.rows; ++r) counted += by_index ? s.counts(r) : true;
    divisor = static_cast<double>(counted);
  }
  if (reduction != Reduction::kMean || divisor == 0) divisor = 1;
  dispatch_float("cross_entropy", "logits", logits, [&](auto zero) {
    using T = decltype(zero);
    by_index ? index_forward<T>(loss.data<T>(), s) : probability_forward<T>(loss.data<T>(), s);
  });
  if (reduction != Reduction::kNone) {
    const NoGrad no_grad;
    const double total = sum(loss).item();
    loss = Tensor::scalar(logits.dtype(), total / divisor);
  }
  if (!needs_grad({&logits, &target})) return loss;
  if (by_index) s.target = target.clone();  // it was checked; assign could change it before backward runs
  record("cross_entropy", {logits, target}, {loss}, Twice::kYes,
         [s = std::move(s), by_index, divisor, reduction](const Tensors& d) {
           if (grad_enabled()) {
             return accumulate_through({s.logits, by_index ? Tensor() : s.target}, d, [&](const Tensors& p) -> Tensors {
               const Tensor rows = expanded(p[0], p[1], s);
               return {reduction == Reduction::kNone ? reshape(rows, s.shape) : scale(sum(rows), 1 / divisor)};
             });
           }
           dispatch_float("cross_entropy", "logits", s.logits, [&](auto zero) {
             using T = decltype(zero);
             Scratch<T> scale(static_cast<size_t>(s.rows));
             for (Index r = 0; r < s.rows; ++r) {
               const T d_loss = d[0].data<T>()[reduction == Reduction::kNone ? r : 0];
               scale.get()[r] = by_index && !s.counts(r) ? T(0) : static_cast<T>(static_cast<double>(d_loss) / divisor);
             }
             Tensor d_logits, d_target;
             if (s.target.requires_grad()) d_target = Tensor::empty(s.target.shape(), s.target.dtype());
             // Written where it is to stay if that place is free: it is large.
             bool in_place = false;
             if (s.logits.requires_grad()) {
               const GradTarget place = grad_target(s.logits);
               in_place = !place.add;
               d_logits = in_place ? place.buffer : Tensor::empty(s.logits.shape(), s.logits.dtype());
             }
             if (by_index) {
               index_backward<T>(d_logits.data<T>(), scale.get(), s);
             } else {
               probability_backward<T>(d_logits ? d_logits.data<T>() : nullptr, d_target ? d_target.data<T>() : nullptr,
                                       scale.get(), s);
             }
             if (!in_place) accumulate(s.logits, d_logits);
             accumulate(s.target, d_target);
           });
         });
  return loss;
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, std::optional<Index> ignore_index,
                     double label_smoothing, Reduction reduction) {
  return record_cross_entropy(logits, target, ignore_index, label_smoothing, reduction, -1);
}

Tensor cross_entropy_over(const Tensor& logits, const Tensor& target, double divisor, std::optional<Index> ignore_index,
                          double label_smoothing) {
  return record_cross_entropy(logits, target, ignore_index, label_smoothing, Reduction::kMean, divisor);
}

}  // namespace attendo

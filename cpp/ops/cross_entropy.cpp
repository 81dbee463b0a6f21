// Cross-entropy of logits
//
//   forward    loss_i  = -w_i Σ_v t_iv log softmax(z_i)_v = w_i (lse_i Σ_v t_iv - Σ_v t_iv z_iv),   lse_i = log Σ_v exp(z_iv)
//   backward   dz_iv   = dloss_i w_i (softmax(z_i)_v Σ_u t_iu - t_iv)
//   mean       Σ_i loss_i / Σ_i w_i u_c(i)   over the rows that are not ignored;  probabilities: / Σ_i w_i
//
// t_iv = u_v ((1 - ε) q_iv + ε/V): q the target's probabilities, or the one-hot vector of a class index c; ε: label smoothing,
// u_v: weight of class v, w_i: of the row's sample, 1 without weights.  z: (rows, V).
// Szegedy et al. 2016, §7; articles 000 §5.2, 004 §4.1.
#include "ops/cross_entropy.h"

#include <algorithm>
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
  bool has_ignore, by_index;
  Shape shape;
  Tensor weight;      // (V,): where every class of a row has its own, else in row_weight
  Tensor row_weight;  // (rows,) float64, or undefined

  double weight_of(Index row) const { return row_weight ? row_weight.data<double>()[row] : 1.0; }
  // What does not count is selected away, never multiplied by 0.
  bool counts(Index row) const {
    return !(has_ignore && target.data<std::int64_t>()[row] == ignored) && weight_of(row) != 0;
  }
  // Each t_iv must be worked out: it is not (1 - ε) [v = c] + ε/V.
  bool mixed() const { return !by_index || weight; }
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
      loss[r] = s.row_weight ? value * static_cast<T>(s.weight_of(r)) : value;
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

// t_iv of row r.
template <typename T>
class MixedTarget {
 public:
  explicit MixedTarget(const CrossEntropySaved& s)
      : n_(s.classes),
        eps_(static_cast<T>(s.smoothing)),
        share_(eps_ / static_cast<T>(s.classes)),
        ids_(s.by_index ? s.target.data<std::int64_t>() : nullptr),
        probabilities_(s.by_index ? nullptr : s.target.data<T>()),
        weight_(data_or_null<T>(s.weight)) {}
  T operator()(Index r, Index v) const {
    const T q = ids_ != nullptr ? static_cast<T>(ids_[r] == v) : probabilities_[r * n_ + v];
    return weight(v) * ((T(1) - eps_) * q + share_);
  }
  T weight(Index v) const { return weight_ != nullptr ? weight_[v] : T(1); }
  T slope(Index v) const { return (T(1) - eps_) * weight(v); }  // ∂t/∂q

 private:
  Index n_;
  T eps_, share_;
  const std::int64_t* ids_;
  const T *probabilities_, *weight_;
};

template <typename T>
void mixed_forward(T* loss, const CrossEntropySaved& s) {
  const Index n = s.classes;
  const MixedTarget<T> target(s);
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    kernels::row_kernels<T>().log_sum_exp(s.lse.data<T>() + begin, s.logits.data<T>() + begin * n, end - begin, n);
    for (Index r = begin; r < end; ++r) {
      const T* z = s.logits.data<T>() + r * n;
      const T lse = s.lse.data<T>()[r];
      T value = 0;
      for (Index v = 0; s.counts(r) && v < n; ++v) {
        const T t = target(r, v);
        if (t != T(0)) value += t * (lse - z[v]);  // a class with probability 0 may have a logit of -inf
      }
      loss[r] = value * static_cast<T>(s.weight_of(r));
    }
  });
}

template <typename T>
void mixed_backward(T* d_logits, T* d_target, const T* scale, const CrossEntropySaved& s) {
  const Index n = s.classes;
  const MixedTarget<T> target(s);
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      if (!s.counts(r)) {
        if (d_logits != nullptr) std::fill_n(d_logits + r * n, n, T(0));
        if (d_target != nullptr) std::fill_n(d_target + r * n, n, T(0));
        continue;
      }
      const T* z = s.logits.data<T>() + r * n;
      const T lse = s.lse.data<T>()[r];
      T total = 0;
      for (Index v = 0; v < n; ++v) total += target(r, v);
      for (Index v = 0; v < n; ++v) {
        if (d_logits != nullptr) d_logits[r * n + v] = scale[r] * (std::exp(z[v] - lse) * total - target(r, v));
        if (d_target != nullptr) d_target[r * n + v] = scale[r] * target.slope(v) * (lse - z[v]);
      }
    }
  });
}

// The rows' losses in differentiable operations; the target is float probabilities where it is not null.
Tensor expanded(const Tensor& logits, const Tensor& target, const CrossEntropySaved& s) {
  const Index n = s.classes;
  const double share = s.smoothing / static_cast<double>(n);
  // A row that does not count has no gradient, whatever its logits are.
  const bool selects = s.has_ignore || s.row_weight;
  const Tensor kept = Tensor::full({s.rows, n}, DType::kBool, 1);
  bool* keep = kept.data<bool>();
  for (Index r = 0; selects && r < s.rows; ++r) std::fill_n(keep + r * n, n, s.counts(r));
  Tensor z = reshape(logits, {s.rows, n});
  if (selects) z = select(z, kept);
  const Tensor log_p = log_softmax(z);
  Tensor loss;
  if (s.mixed()) {
    Tensor q = target;
    if (!q) {
      q = Tensor::full({s.rows, n}, logits.dtype(), 0);
      dispatch_float("cross_entropy", "logits", q, [&](auto zero) {
        for (Index r = 0; r < s.rows; ++r) {
          if (s.counts(r)) q.data<decltype(zero)>()[r * n + s.target.data<std::int64_t>()[r]] = 1;
        }
      });
    }
    Tensor t = reshape(add_scalar(scale(q, 1 - s.smoothing), share), {s.rows, n});
    if (s.weight) t = multiply(t, s.weight);
    const Tensor finite = kept.clone();
    dispatch_float("cross_entropy", "logits", z, [&](auto zero) {
      using T = decltype(zero);
      for (Index i = 0; i < s.rows * n; ++i) {
        finite.data<bool>()[i] = keep[i] && (t.data<T>()[i] != 0 || std::isfinite(log_p.data<T>()[i]));
      }
    });
    loss = scale(sum(multiply(t, select(log_p, finite)), std::vector<int>{1}), -1);
  } else {
    const Tensor ids = Tensor::empty({s.rows}, DType::kInt64);
    for (Index r = 0; r < s.rows; ++r) {
      ids.data<std::int64_t>()[r] = s.counts(r) ? r * n + s.target.data<std::int64_t>()[r] : -1;
    }
    const Tensor picked = reshape(gather_rows(reshape(log_p, {s.rows * n, 1}), ids), {s.rows});
    loss = scale(picked, s.smoothing - 1);
    if (s.smoothing != 0) {
      loss = subtract(loss, scale(sum(selects ? select(log_p, kept) : log_p, std::vector<int>{1}), share));
    }
  }
  return s.row_weight ? multiply(loss, s.row_weight.to(logits.dtype())) : loss;
}

void check_weights(const char* name, const Tensor& weight, const Shape& shape) {
  check_float("cross_entropy", name, weight);
  check_shape("cross_entropy", name, weight, shape);
  dispatch_float("cross_entropy", name, weight, [&](auto zero) {
    for (Index i = 0; i < weight.size(); ++i) {
      const auto w = weight.data<decltype(zero)>()[i];
      if (!(w >= 0) || std::isinf(w))
        value_error("cross_entropy: ", name, " holds ", w, " but must hold finite numbers from 0");
    }
  });
}

// Σ of the weights of all rows that count; into `weights` where that is not null.
// Of each class where the target is an index and `by_class`.
double weigh_rows(double* weights, const Tensor& target, const CrossEntropyOptions& o, Index rows, bool by_class) {
  const std::int64_t* c = target.dtype() == DType::kInt64 ? target.data<std::int64_t>() : nullptr;
  const Tensor samples = o.sample_weight ? o.sample_weight.to(DType::kFloat64) : Tensor();
  const Tensor classes = o.weight && by_class && c != nullptr ? o.weight.to(DType::kFloat64) : Tensor();
  const Index each = samples && samples.size() > 0 ? rows / samples.size() : 1;
  double total = 0;
  for (Index r = 0; r < rows; ++r) {
    double w = samples ? samples.data<double>()[r / each] : 1.0;
    if (c != nullptr && o.ignore_index && c[r] == *o.ignore_index) {
      w = 0;
    } else if (classes) {
      if (c[r] < 0 || c[r] >= classes.size()) {
        value_error("cross_entropy: target holds ", c[r], " but weight has ", classes.size(), " classes");
      }
      w *= classes.data<double>()[c[r]];
    }
    if (weights != nullptr) weights[r] = w;
    total += w;
  }
  return total;
}

CrossEntropySaved check_cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& o) {
  check_float("cross_entropy", "logits", logits);
  check_defined("cross_entropy", "target", target);
  check_min_rank("cross_entropy", "logits", logits, 1, "(..., V)");
  CrossEntropySaved s;
  s.logits = logits, s.target = target;
  s.classes = logits.dim(-1);
  s.shape = logits.shape().slice(0, logits.rank() - 1);
  s.rows = s.shape.size();
  s.has_ignore = o.ignore_index.has_value();
  s.ignored = o.ignore_index.value_or(0);
  s.smoothing = o.label_smoothing;
  s.by_index = target.dtype() == DType::kInt64;
  if (s.classes == 0)
    value_error("cross_entropy: logits has shape ", logits.shape(), "; there must be at least one class");
  if (!(s.smoothing >= 0 && s.smoothing <= 1)) {
    value_error("cross_entropy: label_smoothing is ", s.smoothing, " but must be 0 to 1");
  }
  if (o.weight) {
    check_weights("weight", o.weight, {s.classes});
    check_some_weight("cross_entropy", o.weight);
  }
  if (o.sample_weight) {
    check_weights("sample_weight", o.sample_weight, {s.shape.rank() == 0 ? Index{1} : s.shape[0]});
  }
  if (s.by_index) {
    if (!(target.shape() == s.shape)) {
      value_error("cross_entropy: target has shape ", target.shape(), " but logits of shape ", logits.shape(),
                  " need class indices of shape ", s.shape);
    }
    const std::int64_t* c = target.data<std::int64_t>();
    for (Index r = 0; r < s.rows; ++r) {
      if (!(s.has_ignore && c[r] == s.ignored) && (c[r] < 0 || c[r] >= s.classes)) {
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
  // Without smoothing the weight of an index' class is one of its row.
  const bool by_class = s.smoothing == 0;
  if (o.weight && (!s.by_index || !by_class)) s.weight = o.weight.to(logits.dtype());
  if (o.sample_weight || (o.weight && s.by_index && by_class)) {
    s.row_weight = Tensor::empty({s.rows}, DType::kFloat64);
    weigh_rows(s.row_weight.data<double>(), target, o, s.rows, by_class);
  }
  return s;
}

// divisor: of the mean; below 0, what counts here.
Tensor record_cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options,
                            Reduction reduction, double divisor) {
  CrossEntropySaved s = check_cross_entropy(logits, target, options);
  s.lse = Tensor::empty({s.rows}, logits.dtype());
  Tensor loss = Tensor::empty(s.shape, logits.dtype());
  if (reduction == Reduction::kMean && divisor < 0) divisor = weigh_rows(nullptr, target, options, s.rows, true);
  if (reduction != Reduction::kMean || divisor == 0) divisor = 1;
  dispatch_float("cross_entropy", "logits", logits, [&](auto zero) {
    using T = decltype(zero);
    s.mixed() ? mixed_forward<T>(loss.data<T>(), s) : index_forward<T>(loss.data<T>(), s);
  });
  if (reduction != Reduction::kNone) {
    const NoGrad no_grad;
    const double total = sum(loss).item();
    loss = Tensor::scalar(logits.dtype(), total / divisor);
  }
  if (!needs_grad({&logits, &target})) return loss;
  if (s.by_index) s.target = target.clone();  // it was checked; assign could change it before backward runs
  record("cross_entropy", {logits, target}, {loss}, Twice::kYes,
         [s = std::move(s), divisor, reduction](const Tensors& d) {
           if (grad_enabled()) {
             const Tensor probabilities = s.by_index ? Tensor() : s.target;
             return accumulate_through({s.logits, probabilities}, d, [&](const Tensors& p) -> Tensors {
               const Tensor rows = expanded(p[0], p[1], s);
               return {reduction == Reduction::kNone ? reshape(rows, s.shape) : scale(sum(rows), 1 / divisor)};
             });
           }
           dispatch_float("cross_entropy", "logits", s.logits, [&](auto zero) {
             using T = decltype(zero);
             Scratch<T> scale(static_cast<size_t>(s.rows));
             for (Index r = 0; r < s.rows; ++r) {
               const double d_loss = static_cast<double>(d[0].data<T>()[reduction == Reduction::kNone ? r : 0]);
               scale.get()[r] = s.counts(r) ? static_cast<T>(d_loss * s.weight_of(r) / divisor) : T(0);
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
             if (s.mixed()) {
               mixed_backward<T>(data_or_null<T>(d_logits), data_or_null<T>(d_target), scale.get(), s);
             } else {
               index_backward<T>(d_logits.data<T>(), scale.get(), s);
             }
             if (!in_place) accumulate(s.logits, d_logits);
             accumulate(s.target, d_target);
           });
         });
  return loss;
}

}  // namespace

void check_some_weight(const char* op, const Tensor& weight) {
  const Tensor values = weight.to(DType::kFloat64);
  const double* w = values.data<double>();
  if (std::all_of(w, w + values.size(), [](double value) { return value == 0; })) {
    value_error(op, ": weight must have a class above 0, but all weights are 0");
  }
}

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options,
                     Reduction reduction) {
  return record_cross_entropy(logits, target, options, reduction, -1);
}

Tensor cross_entropy_over(const Tensor& logits, const Tensor& target, double divisor,
                          const CrossEntropyOptions& options) {
  return record_cross_entropy(logits, target, options, Reduction::kMean, divisor);
}

double cross_entropy_count(const Tensor& target, const CrossEntropyOptions& options) {
  check_defined("cross_entropy", "target", target);
  const bool by_index = target.dtype() == DType::kInt64;
  if (!by_index) check_min_rank("cross_entropy", "target", target, 1, "(..., V)");
  const Shape rows = by_index ? target.shape() : target.shape().slice(0, target.rank() - 1);
  if (options.sample_weight) {
    check_weights("sample_weight", options.sample_weight, {rows.rank() == 0 ? Index{1} : rows[0]});
  }
  return weigh_rows(nullptr, target, options, rows.size(), true);
}

}  // namespace attendo

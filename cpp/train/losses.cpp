// What losses share: the loss of a whole batch, and sums of weighted terms
//
//   L = Σ_i w_i Σ_j l_ij / Σ_i w_i n_i
//
// l_ij: the terms of sample i, w_i: its weight (1 without weights), n_i: how many of its terms count.
#include "train/losses.h"

#include <cmath>

#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "train/loss_terms.h"

namespace attendo::train {

Tensor Loss::forward(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight) const {
  return part(outputs, targets, sample_weight, counts(targets, sample_weight));
}

std::optional<std::pair<double, double>> Loss::correct(const Tensors&, const Tensors&) const { return std::nullopt; }

const Tensor& first_output(const char* op, const Tensors& outputs) {
  if (outputs.empty()) value_error(op, ": there is no prediction: the model returned nothing");
  return outputs[0];
}

const Tensor& only_target(const char* op, const Tensors& targets) {
  if (targets.size() != 1) value_error(op, ": takes one target, but there are ", targets.size());
  check_defined(op, "target", targets[0]);
  return targets[0];
}

std::vector<double> sample_weights(const char* op, const Tensor& sample_weight, Index samples) {
  if (!sample_weight) return {};
  check_shape(op, "sample_weight", sample_weight, {samples});
  std::vector<double> out(static_cast<size_t>(samples));
  dispatch_float(op, "sample_weight", sample_weight, [&](auto zero) {
    using T = decltype(zero);
    std::copy_n(sample_weight.data<T>(), samples, out.begin());
  });
  for (const double w : out) {
    if (!(w >= 0) || std::isinf(w))
      value_error(op, ": sample_weight holds ", w, " but must hold finite numbers from 0");
  }
  return out;
}

double weighted_samples(const char* op, const Tensor& target, const Tensor& sample_weight, double each) {
  if (!sample_weight && target.rank() == 0) return each;
  check_min_rank(op, "target", target, 1, "(samples, ...)");
  if (!sample_weight) return static_cast<double>(target.dim(0)) * each;
  double total = 0;
  for (const double w : sample_weights(op, sample_weight, target.dim(0))) total += w;
  return total * each;
}

Tensor weighted_sum(const char* op, const Tensor& terms, const Tensor& sample_weight, double total) {
  const double factor = total == 0 ? 1.0 : 1 / total;
  if (!sample_weight) return scale(sum(terms), factor);
  check_min_rank(op, "prediction", terms, 1, "(samples, ...)");
  const Index samples = terms.dim(0);
  sample_weights(op, sample_weight, samples);  // they are right
  const Tensor rows = terms.rank() == 1
                          ? terms
                          : sum(reshape(terms, {samples, terms.shape().product(1, terms.rank())}), std::vector<int>{1});
  return scale(sum(multiply(rows, sample_weight.to(terms.dtype()))), factor);
}

std::string numbers(const Tensor& x) {
  const Tensor values = x.to(DType::kFloat64);
  std::string text;
  for (Index i = 0; i < values.size(); ++i) text += (i ? ", " : "") + concat(values.data<double>()[i]);
  return x.rank() == 0 ? text : "[" + text + "]";
}

}  // namespace attendo::train

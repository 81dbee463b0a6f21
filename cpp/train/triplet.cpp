// Triplet loss
//
//   L = Σ_i w_i max(0, D(a_i, p_i) - D(a_i, n_i) + m) / Σ_i w_i,   D(x, y) = ‖x - y + ε‖_p,  ε = 10⁻⁶
//   swap: min(D(a_i, n_i), D(p_i, n_i)) in place of D(a_i, n_i)
//
// anchors a, positives p, negatives n: (N, d).  m: margin.  w: the weight of the sample.
// Balntas et al. 2016, §3 (swap: §3.3); ε is PyTorch's: it keeps the root's gradient finite.
#include "train/triplet.h"

#include <cmath>

#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "train/loss_terms.h"

namespace attendo::train {
namespace {

constexpr double kEpsilon = 1e-6;

Tensor distance(const Tensor& x, const Tensor& y, double p) {
  const Tensor difference = add_scalar(subtract(x, y), kEpsilon);
  const std::vector<int> last{-1};
  if (p == 2) return sqrt(sum(multiply(difference, difference), last));
  const Tensor size = add(relu(difference), relu(scale(difference, -1)));
  if (p == 1) return sum(size, last);
  return power(sum(power(size, p), last), 1 / p);
}

}  // namespace

Triplet::Triplet(double margin, double p, bool swap) : margin_(margin), p_(p), swap_(swap) {
  if (!(margin > 0) || std::isinf(margin)) {
    value_error("Triplet: margin is ", margin, " but must be finite and above 0");
  }
  if (!(p >= 1) || std::isinf(p)) value_error("Triplet: p is ", p, " but must be finite and 1 or more");
}

std::vector<double> Triplet::counts(const Tensors& targets, const Tensor& sample_weight) const {
  if (targets.empty()) value_error("Triplet: there is no target to count the samples of");
  check_defined("Triplet", "target", targets[0]);
  return {weighted_samples("Triplet", targets[0], sample_weight)};
}

Tensor Triplet::part(const Tensors& outputs, const Tensors&, const Tensor& sample_weight,
                     const std::vector<double>& totals) const {
  if (outputs.size() != 3) {
    value_error("Triplet: takes three predictions, anchor, positive and negative, but there ",
                outputs.size() == 1 ? "is " : "are ", outputs.size());
  }
  for (const Tensor& x : outputs) {
    check_float("Triplet", "prediction", x);
    check_rank("Triplet", "prediction", x, 2, "(samples, features)");
    check_shape("Triplet", "prediction", x, outputs[0].shape());
    check_same_dtype("Triplet", "prediction", x, "the first one", outputs[0]);
  }
  const Tensor& a = outputs[0];
  const Tensor near = distance(a, outputs[1], p_);
  Tensor far = distance(a, outputs[2], p_);
  if (swap_) far = subtract(far, relu(subtract(far, distance(outputs[1], outputs[2], p_))));  // the smaller one
  return weighted_sum("Triplet", relu(add_scalar(subtract(near, far), margin_)), sample_weight, totals[0]);
}

std::string Triplet::repr() const {
  return concat("Triplet(margin=", margin_, ", p=", p_, ", swap=", swap_ ? "True" : "False", ")");
}

}  // namespace attendo::train

// Contrastive losses over a batch of pairs
//
//   InfoNCE   S = a bᵀ / τ,  with more negatives n: S = [a bᵀ, a nᵀ] / τ        L = Σ_i w_i cross-entropy(S_i, i) / Σ w
//             symmetric: the mean of that and of the same with a and b in each other's place
//   NT-Xent   z = [a; b] (2N, d),  S = z zᵀ / τ without its diagonal            L = Σ_i w_i (l_i + l_{i+N}) / 2 Σ w,
//             l_i = cross-entropy(S_i, the row of the other one of the pair)
//
// a, b: (N, d), each row divided by its length (InfoNCE: where normalize is on).  τ: temperature.  w: of the sample.
// Of a batch in parts, each part's rows have the negatives of that part.
// van den Oord, Li and Vinyals 2018, eq. 4; Chen et al. 2020, eq. 1; Radford et al. 2021, fig. 3.
#include "train/info_nce.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "train/cross_entropy_loss.h"
#include "train/loss_terms.h"

namespace attendo::train {
namespace {

constexpr double kShortest = 1e-12;

// x / ‖x‖ of each row; a row of zeros stays.
Tensor normalized(const Tensor& x) {
  const Tensor squares = sum(multiply(x, x), std::vector<int>{1}, true);
  return multiply(x, power(add_scalar(squares, kShortest * kShortest), -0.5));
}

void check_temperature(const char* op, double temperature) {
  if (!(temperature > 0) || std::isinf(temperature)) {
    value_error(op, ": temperature is ", temperature, " but must be finite and above 0");
  }
}

// How many pairs there are.
Index check_views(const char* op, const Tensors& outputs, size_t most) {
  if (outputs.size() < 2 || outputs.size() > most) {
    value_error(op, ": takes ", most == 2 ? "two" : "two or three", " predictions, but there ",
                outputs.size() == 1 ? "is " : "are ", outputs.size());
  }
  for (const Tensor& x : outputs) {
    check_float(op, "prediction", x);
    check_rank(op, "prediction", x, 2, "(samples, features)");
    check_same_dtype(op, "prediction", x, "the first one", outputs[0]);
    if (x.dim(1) != outputs[0].dim(1)) {
      value_error(op, ": predictions have ", outputs[0].dim(1), " and ", x.dim(1), " features; they must have as many");
    }
  }
  check_shape(op, "the second prediction", outputs[1], outputs[0].shape());
  return outputs[0].dim(0);
}

std::vector<double> count_pairs(const char* op, const Tensors& targets, const Tensor& sample_weight) {
  if (targets.empty()) value_error(op, ": there is no target to count the samples of");
  check_defined(op, "target", targets[0]);
  return {weighted_samples(op, targets[0], sample_weight)};
}

// 0, 1, …
Tensor row_numbers(Index n) {
  const Tensor ids = Tensor::empty({n}, DType::kInt64);
  std::iota(ids.data<std::int64_t>(), ids.data<std::int64_t>() + n, std::int64_t{0});
  return ids;
}

Tensor similarity(const Tensor& a, const Tensor& b, double temperature) {
  return scale(matmul(a, swap_axes(b, 0, 1)), 1 / temperature);
}

}  // namespace

InfoNCE::InfoNCE(double temperature, bool symmetric, bool normalize)
    : temperature_(temperature), symmetric_(symmetric), normalize_(normalize) {
  check_temperature("InfoNCE", temperature);
}

std::vector<double> InfoNCE::counts(const Tensors& targets, const Tensor& sample_weight) const {
  return count_pairs("InfoNCE", targets, sample_weight);
}

Tensor InfoNCE::part(const Tensors& outputs, const Tensors&, const Tensor& sample_weight,
                     const std::vector<double>& totals) const {
  const Index n = check_views("InfoNCE", outputs, 3);
  Tensors views = outputs;
  if (normalize_) std::transform(views.begin(), views.end(), views.begin(), normalized);
  const Tensor keys = views.size() == 3 ? concatenate({views[1], views[2]}, 0) : views[1];
  CrossEntropyOptions options;
  options.sample_weight = sample_weight;
  if (n == 0) return scale(add(sum(views[0]), sum(keys)), 0);
  const Tensor loss = cross_entropy_over(similarity(views[0], keys, temperature_), row_numbers(n), totals[0], options);
  if (!symmetric_) return loss;
  const Tensor back_keys = views.size() == 3 ? concatenate({views[0], views[2]}, 0) : views[0];
  const Tensor back =
      cross_entropy_over(similarity(views[1], back_keys, temperature_), row_numbers(n), totals[0], options);
  return scale(add(loss, back), 0.5);
}

std::optional<std::pair<double, double>> InfoNCE::correct(const Tensors& outputs, const Tensors&) const {
  const NoGrad no_grad;
  const Index n = check_views("InfoNCE", outputs, 3);
  if (n == 0) return std::nullopt;
  Tensors views = outputs;
  if (normalize_) std::transform(views.begin(), views.end(), views.begin(), normalized);
  const Tensor keys = views.size() == 3 ? concatenate({views[1], views[2]}, 0) : views[1];
  return count_correct("InfoNCE", similarity(views[0], keys, 1), row_numbers(n), std::nullopt);
}

std::string InfoNCE::repr() const {
  return concat("InfoNCE(temperature=", temperature_, ", symmetric=", symmetric_ ? "True" : "False",
                ", normalize=", normalize_ ? "True" : "False", ")");
}

NTXent::NTXent(double temperature) : temperature_(temperature) { check_temperature("NTXent", temperature); }

std::vector<double> NTXent::counts(const Tensors& targets, const Tensor& sample_weight) const {
  return count_pairs("NTXent", targets, sample_weight);
}

Tensor NTXent::part(const Tensors& outputs, const Tensors&, const Tensor& sample_weight,
                    const std::vector<double>& totals) const {
  const Index n = check_views("NTXent", outputs, 2);
  const Tensor z = normalized(concatenate({outputs[0], outputs[1]}, 0));
  if (n == 0) return scale(sum(z), 0);
  const Tensor others = Tensor::full({2 * n, 2 * n}, DType::kBool, 1);
  const Tensor partner = Tensor::empty({2 * n}, DType::kInt64);
  for (Index i = 0; i < 2 * n; ++i) {
    others.data<bool>()[i * 2 * n + i] = false;
    partner.data<std::int64_t>()[i] = (i + n) % (2 * n);
  }
  CrossEntropyOptions options;
  if (sample_weight) {
    check_shape("NTXent", "sample_weight", sample_weight, {n});
    options.sample_weight = concatenate({sample_weight.detach(), sample_weight.detach()}, 0);
  }
  const Tensor scores = select(similarity(z, z, temperature_), others, -std::numeric_limits<double>::infinity());
  return cross_entropy_over(scores, partner, 2 * totals[0], options);
}

}  // namespace attendo::train

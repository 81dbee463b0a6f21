// Several tasks
//
//   weighted       L = Σ_k λ_k L_k
//   uncertainty    L = Σ_k (½ e^{-s_k} L_k + ½ s_k)      dL_k = ½ e^{-s_k}    ds_k = ½ (1 - e^{-s_k} L_k)
//
// L_k: the k-th task's mean over its own count. s_k = log σ_k², learned with the model, 0 at first; it settles at log L_k.
// Kendall, Gal and Cipolla 2018, eq. 7, whose Gaussian likelihood is here used for every loss.
#include "train/multi_task.h"

#include <cmath>

#include "ops/arithmetic.h"

namespace attendo::train {
namespace {

// Of one task's part: ½ e^{-s_k} L + ½ share s_k. The loss may be of another float dtype than s.
Tensor by_uncertainty(const Tensor& loss, const Tensor& s, Index k, double share) {
  const double s_k = static_cast<double>(s.data<float>()[k]);
  const double precision = std::exp(-s_k), value = loss.item();
  const Tensor out = Tensor::scalar(loss.dtype(), 0.5 * (precision * value + share * s_k));
  if (!needs_grad({&loss, &s})) return out;
  record("uncertainty", {loss, s}, {out}, [=](const Tensors& d) {
    const double d_out = d[0].item();
    accumulate(loss, Tensor::scalar(loss.dtype(), 0.5 * precision * d_out));
    const Tensor d_s = Tensor::full(s.shape(), s.dtype(), 0);
    d_s.data<float>()[k] = static_cast<float>(0.5 * (share - precision * value) * d_out);
    accumulate(s, d_s);
  });
  return out;
}

}  // namespace

MultiTask::MultiTask(Losses losses, std::vector<double> weights, bool uncertainty)
    : losses_(std::move(losses)), weights_(std::move(weights)) {
  if (losses_.empty()) value_error("MultiTask: losses is empty");
  for (const auto& [name, loss] : losses_) {
    if (!loss) type_error("MultiTask: losses holds None");
    if (!loss->needs_target()) {
      value_error("MultiTask: ", loss->repr(),
                  " compares outputs with one another; each task has one output and a target");
    }
  }
  const size_t tasks = losses_.size();
  if (weights_.empty()) weights_.assign(tasks, 1.0);
  if (weights_.size() != tasks) {
    value_error("MultiTask: there are ", weights_.size(), " weights for ", tasks, " losses");
  }
  for (const double w : weights_) {
    if (!(w >= 0) || std::isinf(w)) value_error("MultiTask: weights holds ", w, " but must hold finite numbers from 0");
  }
  if (uncertainty) {
    log_variance_ = Tensor::full({static_cast<Index>(tasks)}, DType::kFloat32, 0);
    log_variance_.set_requires_grad(true);
  }
}

std::vector<double> MultiTask::counts(const Tensors& targets, const Tensor& sample_weight) const {
  if (targets.size() != losses_.size()) {
    value_error("MultiTask: there are ", targets.size(), " targets for ", losses_.size(), " losses");
  }
  std::vector<double> out;
  for (size_t k = 0; k < losses_.size(); ++k) {
    for (const double n : losses_[k].second->counts({targets[k]}, sample_weight)) out.push_back(n);
  }
  return out;
}

Tensor MultiTask::part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
                       const std::vector<double>& totals) const {
  if (outputs.size() < losses_.size()) {
    value_error("MultiTask: there are ", outputs.size(), " predictions for ", losses_.size(), " losses");
  }
  if (targets.size() != losses_.size()) {
    value_error("MultiTask: there are ", targets.size(), " targets for ", losses_.size(), " losses");
  }
  Tensor all;
  size_t first = 0;
  for (size_t k = 0; k < losses_.size(); ++k) {
    const Loss& loss = *losses_[k].second;
    const std::vector<double> counts = loss.counts({targets[k]}, sample_weight);
    const auto begin = totals.begin() + static_cast<std::ptrdiff_t>(first);
    const std::vector<double> own(begin, begin + static_cast<std::ptrdiff_t>(counts.size()));
    first += counts.size();
    const Tensor part = loss.part({outputs[k]}, {targets[k]}, sample_weight, own);
    const double share = own[0] > 0 ? counts[0] / own[0] : 0;
    const Tensor weighed =
        uncertainty() ? by_uncertainty(part, log_variance_, static_cast<Index>(k), share) : scale(part, weights_[k]);
    if (all) check_same_dtype("MultiTask", "a task's prediction", weighed, "the first one's", all);
    all = all ? add(all, weighed) : weighed;
  }
  return all;
}

std::vector<std::pair<std::string, Tensor>> MultiTask::parameters() const {
  std::vector<std::pair<std::string, Tensor>> out;
  if (uncertainty()) out.emplace_back("log_variance", log_variance_);
  for (size_t k = 0; k < losses_.size(); ++k) {
    const auto& [name, loss] = losses_[k];
    for (const auto& [inner, p] : loss->parameters()) {
      out.emplace_back(concat(name.empty() ? std::to_string(k) : name, ".", inner), p);
    }
  }
  return out;
}

std::string MultiTask::repr() const {
  const bool named = !losses_[0].first.empty();
  std::string text = named ? "MultiTask({" : "MultiTask([";
  for (size_t k = 0; k < losses_.size(); ++k) {
    text += k ? ", " : "";
    if (named) text += concat("'", losses_[k].first, "': ");
    text += losses_[k].second->repr();
  }
  text += named ? "}, weights=" : "], weights=";
  if (uncertainty()) return text + "'uncertainty')";
  for (size_t k = 0; k < weights_.size(); ++k) text += concat(k ? ", " : "[", weights_[k]);
  return text + "])";
}

}  // namespace attendo::train

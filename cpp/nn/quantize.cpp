#include "nn/quantize.h"

#include <set>

#include "nn/layers.h"
#include "ops/linear_int8.h"
#include "ops/quantized_linear.h"

namespace attendo::nn {
namespace {

constexpr const char* kOp = "quantize";

std::set<const TensorImpl*> tables_of(Module& root) {
  std::set<const TensorImpl*> tables;
  for (const auto& [path, module] : root.named_modules()) {
    if (const auto* embedding = dynamic_cast<const Embedding*>(module)) tables.insert(embedding->weight().impl().get());
  }
  return tables;
}

// All that quantize refuses, before anything is changed: the matrices with their names, each once.
std::vector<Module::NamedTensor> matrices_of(Module& root) {
  std::vector<Module::NamedTensor> found;
  root.replace_matrices(kOp, [&](const std::string& name, const Module&, const Tensor& value) {
    if (value.impl()->products) {
      value_error(kOp, ": ", name, " is quantized already; to calibrate anew, load the model in floats");
    }
    if (value.dtype() == DType::kInt8) {
      value_error(kOp, ": ", name, " is int8 already, by to_int8(); quantize takes a model in floats");
    }
    if (value.low_rank()) {
      value_error(kOp, ": ", name, " has a low-rank update, which is no whole number: merge it first, or take it off");
    }
    if (value.impl()->grad_owner) {
      value_error(kOp, ": ", name, " is held by an optimizer; let that go first: what is quantized cannot be trained");
    }
    found.emplace_back(name, value);
    return Tensor();
  });
  if (found.empty()) value_error(kOp, ": ", root.type_name(), " has no matrix of a linear layer or an embedding");
  return found;
}

Tensor quantized(const std::string& name, const Tensor& value, const std::optional<Int8Range>& input) {
  return quantize_per_channel(concat(kOp, ": ", name).c_str(), value, input);
}

}  // namespace

Int8Form int8_form(const Tensor& weight) {
  if (weight.dtype() != DType::kInt8) return Int8Form::kFloat;
  const auto& products = weight.impl()->products;
  return !products ? Int8Form::kWeights : products->input ? Int8Form::kStatic : Int8Form::kDynamic;
}

std::string int8_note(const Tensor& weight) {
  switch (int8_form(weight)) {
    case Int8Form::kWeights: return ", int8";
    case Int8Form::kDynamic: return ", int8 dynamic";
    case Int8Form::kStatic: return ", int8 static";
    case Int8Form::kFloat: break;
  }
  return "";
}

void quantize_dynamic(Module& root) {
  matrices_of(root);
  const auto tables = tables_of(root);
  root.replace_matrices(kOp, [&](const std::string& name, const Module&, const Tensor& value) {
    return tables.count(value.impl().get()) > 0 ? quantize_int8(value) : quantized(name, value, {});
  });
  root.set_requires_grad(false);
}

Calibration::Calibration(std::shared_ptr<Module> root) : root_(std::move(root)) {
  const auto tables = tables_of(*root_);
  std::vector<Module::NamedTensor> wanted;
  for (const auto& [name, value] : matrices_of(*root_)) {
    if (value.impl()->observer) value_error(kOp, ": ", name, " is being calibrated already");
    if (tables.count(value.impl().get()) == 0) wanted.emplace_back(name, value);
  }
  if (wanted.empty()) value_error(kOp, ": ", root_->type_name(), " has no linear layer whose input could be rounded");
  for (const auto& [name, value] : wanted) value.impl()->observer = std::make_shared<InputObserver>();
  watched_ = std::move(wanted);
}

Calibration::~Calibration() { stop(); }

void Calibration::stop() {
  for (const auto& [name, value] : watched_) value.impl()->observer = nullptr;
  watched_.clear();
}

void Calibration::count() {
  for (const auto& [name, value] : watched_) value.impl()->observer->counts.begin_bins();
}

void Calibration::finish(RangeMethod method, double percentile) {
  std::map<const TensorImpl*, std::optional<Int8Range>> ranges;
  bool any = false;
  for (const auto& [name, value] : watched_) {
    const ActivationCounts& counts = value.impl()->observer->counts;
    if (!counts.usable()) {
      value_error(kOp, ": what ", name,
                  " is multiplied with in the calibration holds NaN, inf or numbers infinitely far ",
                  "apart but must be finite");
    }
    any = any || counts.any;
    if (counts.any) ranges[value.impl().get()] = choose_range(counts, method, percentile, value.dtype());
  }
  if (!any) value_error(kOp, ": calibration met no linear layer of the model");
  const auto tables = tables_of(*root_);
  root_->replace_matrices(kOp, [&](const std::string& name, const Module&, const Tensor& value) {
    if (tables.count(value.impl().get()) > 0) return quantize_int8(value);
    return quantized(name, value, ranges[value.impl().get()]);
  });
  root_->set_requires_grad(false);
  stop();
}

void hold_int8(Module& root, const std::map<std::string, Int8Form>& forms) {
  const auto tables = tables_of(root);
  std::set<std::string> left;
  for (const auto& [name, form] : forms) left.insert(name);
  root.replace_matrices("load", [&](const std::string& name, const Module&, const Tensor& value) {
    const auto form = forms.find(name);
    if (form == forms.end()) return Tensor();
    left.erase(name);
    if (form->second != Int8Form::kWeights && tables.count(value.impl().get()) > 0) {
      value_error("load: ", name, " has a scale for each row, but embeddings have one for each 64 neighbours");
    }
    switch (form->second) {
      case Int8Form::kWeights: return quantize_int8(value);
      case Int8Form::kDynamic: return quantized(name, value, {});
      case Int8Form::kStatic: return quantized(name, value, Int8Range{1, 0});
      case Int8Form::kFloat: break;
    }
    return Tensor();
  });
  if (!left.empty()) value_error("load: ", *left.begin(), " is int8 but is no matrix of the model");
  root.set_requires_grad(false);
}

}  // namespace attendo::nn

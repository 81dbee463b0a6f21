#include "nn/layers.h"

#include <cmath>

#include "core/cost.h"
#include "nn/quantize.h"
#include "ops/batch_norm.h"
#include "ops/dropout.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace attendo::nn {
namespace {

void check_positive(const char* layer, const char* arg, Index value) {
  if (value < 1) value_error(layer, ": ", arg, " is ", value, " but must be 1 or more");
}

// Ones for the weight, zeros for the bias, where there are any.
void reset_norm(const std::vector<Module::NamedTensor>& parameters) {
  const double values[] = {1.0, 0.0};
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& p = parameters[i].second;
    const Tensor start = Tensor::full(p.shape(), p.dtype(), values[i]);
    std::copy_n(start.raw(), p.bytes(), p.raw());
  }
}

}  // namespace

Linear::Linear(Index in_features, Index out_features, bool bias, DType dtype) {
  check_positive("Linear", "in_features", in_features);
  check_positive("Linear", "out_features", out_features);
  make_parameter("weight", {out_features, in_features}, dtype);
  if (bias) make_parameter("bias", {out_features}, dtype);
  reset_own(generator());
}

Tensor Linear::operator()(const Tensor& x, Activation activation) {
  CostScope scope(this);
  check_input("Linear", "x", x, 0, weight().dim(1), float_dtype(weight()));
  return scope.gives(linear(x, weight(), bias(), activation));
}

std::string Linear::extra_repr() const {
  return concat("in_features=", weight().dim(1), ", out_features=", weight().dim(0), bias() ? "" : ", bias=False",
                int8_note(weight()));
}

void Linear::reset_own(Generator& generator) {
  for (const auto& [name, value] : own_parameters()) init_uniform(value, weight().dim(1), generator);
}

Embedding::Embedding(Index num_embeddings, Index embedding_dim, Index padding_idx, DType dtype, double deviation,
                     bool sparse)
    : padding_idx_(padding_idx), deviation_(deviation), sparse_(sparse) {
  check_positive("Embedding", "num_embeddings", num_embeddings);
  check_positive("Embedding", "embedding_dim", embedding_dim);
  if (padding_idx != kNoPadding && (padding_idx < 0 || padding_idx >= num_embeddings)) {
    value_error("Embedding: padding_idx is ", padding_idx, " but must be 0 to ", num_embeddings - 1);
  }
  make_parameter("weight", {num_embeddings, embedding_dim}, dtype).impl()->sparse_grad = sparse;
  reset_own(generator());
}

Tensor Embedding::operator()(const Tensor& ids) {
  CostScope scope(this);
  return scope.gives(embedding(ids, weight(), padding_idx_, sparse_));
}

std::string Embedding::extra_repr() const {
  return concat(weight().dim(0), ", ", weight().dim(1),
                padding_idx_ == kNoPadding ? "" : concat(", padding_idx=", padding_idx_),
                sparse_ ? ", sparse=True" : "", int8_note(weight()));
}

void Embedding::reset_own(Generator& generator) {
  fill_normal(weight(), 0, deviation_, generator);
  if (padding_idx_ == kNoPadding) return;
  const size_t row = weight().bytes() / static_cast<size_t>(weight().dim(0));
  std::fill_n(weight().raw() + static_cast<size_t>(padding_idx_) * row, row, std::byte{0});
}

LayerNorm::LayerNorm(const Shape& normalized_shape, double eps, bool elementwise_affine, bool bias, DType dtype)
    : shape_(normalized_shape), eps_(eps), dtype_(dtype) {
  if (shape_.rank() == 0) value_error("LayerNorm: normalized_shape is () but must hold 1 length or more");
  for (const Index length : shape_) check_positive("LayerNorm", "normalized_shape", length);
  if (!(eps >= 0)) value_error("LayerNorm: eps is ", eps, " but must be 0 or more");
  if (elementwise_affine) make_parameter("weight", shape_, dtype);
  if (elementwise_affine && bias) make_parameter("bias", shape_, dtype);
  reset_own(generator());
}

Tensor LayerNorm::operator()(const Tensor& x) {
  CostScope scope(this);
  if (shape_.rank() == 1) {
    check_input("LayerNorm", "x", x, 0, shape_[0], dtype_);
    return scope.gives(layer_norm(x, weight(), bias(), eps_));
  }
  const int lead = x.rank() - shape_.rank();
  if (lead < 0 || !(x.shape().slice(lead, x.rank()) == shape_)) {
    value_error("LayerNorm: x has shape ", x.shape(), " but must end in ", shape_);
  }
  check_input("LayerNorm", "x", x, 0, shape_[-1], dtype_);
  // The axes as one.
  const Index n = shape_.product(0, shape_.rank());
  const auto flat = [n](const Tensor& p) { return p ? reshape(p, {n}) : p; };
  Shape rows = x.shape().slice(0, lead);
  rows.push_back(n);
  return scope.gives(reshape(layer_norm(reshape(x, rows), flat(weight()), flat(bias()), eps_), x.shape()));
}

std::string LayerNorm::extra_repr() const {
  return concat(shape_.rank() == 1 ? concat(shape_[0]) : shape_.str(), ", eps=", eps_,
                weight() ? "" : ", elementwise_affine=False", weight() && !bias() ? ", bias=False" : "");
}

void LayerNorm::reset_own(Generator&) { reset_norm(own_parameters()); }

BatchNorm::BatchNorm(Index num_features, int spatial, double eps, double momentum, DType dtype)
    : spatial_(spatial), eps_(eps), momentum_(momentum) {
  const char* name = spatial == 2 ? "BatchNorm2d" : "BatchNorm1d";
  check_positive(name, "num_features", num_features);
  if (!(eps > 0)) value_error(name, ": eps is ", eps, " but must be more than 0");
  if (!(momentum >= 0 && momentum <= 1)) value_error(name, ": momentum is ", momentum, " but must be 0 to 1");
  make_parameter("weight", {num_features}, dtype);
  make_parameter("bias", {num_features}, dtype);
  register_buffer("running_mean", Tensor::zeros({num_features}, dtype));
  register_buffer("running_var", Tensor::full({num_features}, dtype, 1.0));
  reset_own(generator());
}

Tensor BatchNorm::operator()(const Tensor& x) {
  CostScope scope(this);
  check_float(type_name().c_str(), "x", x);
  if (spatial_ == 2) {
    check_rank("BatchNorm2d", "x", x, 4, "(B, C, H, W)");
  } else if (x.rank() != 2 && x.rank() != 3) {
    value_error("BatchNorm1d: x has shape ", x.shape(), " but must be (B, C) or (B, C, L)");
  }
  return scope.gives(batch_norm(x, own_parameters()[0].second, own_parameters()[1].second, own_buffers()[0].second,
                                own_buffers()[1].second, training(), momentum_, eps_));
}

std::string BatchNorm::extra_repr() const {
  return concat(own_parameters()[0].second.size(), ", eps=", eps_, ", momentum=", momentum_);
}

void BatchNorm::reset_own(Generator&) {
  reset_norm(own_parameters());
  const double values[] = {0.0, 1.0};
  for (size_t i = 0; i < 2; ++i) {
    const Tensor& b = own_buffers()[i].second;
    const Tensor start = Tensor::full(b.shape(), b.dtype(), values[i]);
    std::copy_n(start.raw(), b.bytes(), b.raw());
  }
}

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p < 1)) value_error("Dropout: p is ", p, " but must be 0 or more and below 1");
}

Tensor Dropout::operator()(const Tensor& x) {
  CostScope scope(this);
  return scope.gives(training() && p_ > 0 ? dropout(x, p_, generator()) : x);
}

ResidualNorm residual_norm(const Tensor& x, const Tensor& r, const LayerNorm& norm, Dropout& dropout, bool want_sum) {
  CostScope scope(&norm);
  const double p = dropout.training() ? dropout.p() : 0;
  ResidualNorm y = residual_norm(x, r, norm.weight(), norm.bias(), p, &dropout.generator(), norm.eps(), want_sum);
  scope.gives(y.out);
  return y;
}

Tensor Flatten::operator()(const Tensor& x) {
  CostScope scope(this);
  check_min_rank("Flatten", "x", x, 1, "(batch, ...)");
  return scope.gives(reshape(x, {x.dim(0), x.shape().product(1, x.rank())}));
}

Tensor ActivationLayer::operator()(const Tensor& x) {
  CostScope scope(this);
  return scope.gives(function_(x));
}

Sequential::Sequential(const std::vector<std::shared_ptr<Module>>& modules) {
  for (size_t i = 0; i < modules.size(); ++i) register_module(std::to_string(i), modules[i]);
}

Tensors Sequential::forward(const Tensors& inputs) {
  CostScope scope(this);
  Tensors x = inputs;
  const auto modules = children();  // a copy: a module may add to them
  for (const auto& [name, module] : modules) x = module->forward(x);
  if (!x.empty()) scope.gives(x[0]);
  return x;
}

ModuleList::ModuleList(const std::vector<std::shared_ptr<Module>>& modules) {
  for (size_t i = 0; i < modules.size(); ++i) register_module(std::to_string(i), modules[i]);
}

Tensors ModuleList::forward(const Tensors&) {
  value_error("ModuleList: it only holds modules; call the modules in it");
}

}  // namespace attendo::nn

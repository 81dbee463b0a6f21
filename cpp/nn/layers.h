// The small layers: parameters, and one operation.
#pragma once

#include "nn/module.h"
#include "ops/embedding.h"
#include "ops/gemm.h"
#include "ops/residual_norm.h"

namespace attendo::nn {

class Linear : public Module {
 public:
  Linear(Index in_features, Index out_features, bool bias, DType dtype);
  Tensor operator()(const Tensor& x, Activation activation = Activation::kNone);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Linear", inputs))}; }
  std::string type_name() const override { return "Linear"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  std::vector<std::string> matrices() const override { return {"weight"}; }
  const Tensor& weight() const { return own_parameters()[0].second; }
  Tensor bias() const { return own_parameters().size() > 1 ? own_parameters()[1].second : Tensor(); }
};

class Embedding : public Module {
 public:
  // Drawn from N(0, deviation²). sparse: the gradient is one of the rows used.
  Embedding(Index num_embeddings, Index embedding_dim, Index padding_idx, DType dtype, double deviation = 1,
            bool sparse = false);
  Tensor operator()(const Tensor& ids);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Embedding", inputs))}; }
  std::string type_name() const override { return "Embedding"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  std::vector<std::string> matrices() const override { return {"weight"}; }
  const Tensor& weight() const { return own_parameters()[0].second; }

 private:
  Index padding_idx_;
  double deviation_;
  bool sparse_;
};

// Over the last axes, whose lengths are normalized_shape.
class LayerNorm : public Module {
 public:
  LayerNorm(const Shape& normalized_shape, double eps, bool elementwise_affine, bool bias, DType dtype);
  LayerNorm(Index normalized_shape, double eps, DType dtype)
      : LayerNorm(Shape{normalized_shape}, eps, true, true, dtype) {}
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("LayerNorm", inputs))}; }
  std::string type_name() const override { return "LayerNorm"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  double eps() const { return eps_; }
  // Undefined where the layer has none.
  Tensor weight() const { return own_parameters().empty() ? Tensor() : own_parameters()[0].second; }
  Tensor bias() const { return own_parameters().size() > 1 ? own_parameters()[1].second : Tensor(); }

 private:
  Shape shape_;
  double eps_;
  DType dtype_;
};

// Over (B, C) and (B, C, L) with `spatial` 1, over (B, C, H, W) with 2.
class BatchNorm : public Module {
 public:
  BatchNorm(Index num_features, int spatial, double eps, double momentum, DType dtype);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("BatchNorm", inputs))}; }
  std::string type_name() const override { return spatial_ == 2 ? "BatchNorm2d" : "BatchNorm1d"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  int spatial_;
  double eps_, momentum_;
};

class Dropout : public Module {
 public:
  explicit Dropout(double p);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Dropout", inputs))}; }
  std::string type_name() const override { return "Dropout"; }
  std::string extra_repr() const override { return concat("p=", p_); }
  double p() const { return p_; }

 private:
  double p_;
};

// norm(x + dropout(r)) in one operation; the sum itself too when `want_sum`.
ResidualNorm residual_norm(const Tensor& x, const Tensor& r, const LayerNorm& norm, Dropout& dropout,
                           bool want_sum = false);

class Flatten : public Module {
 public:
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Flatten", inputs))}; }
  std::string type_name() const override { return "Flatten"; }
};

// relu, gelu, tanh, sigmoid, silu, softmax as layers.
class ActivationLayer : public Module {
 public:
  using Function = Tensor (*)(const Tensor&);
  ActivationLayer(std::string name, Function function) : name_(std::move(name)), function_(function) {}
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input(name_.c_str(), inputs))}; }
  std::string type_name() const override { return name_; }

 private:
  std::string name_;
  Function function_;
};

class Sequential : public Module {
 public:
  explicit Sequential(const std::vector<std::shared_ptr<Module>>& modules);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "Sequential"; }
};

// Modules under the names 0, 1, …; called by index, not as a whole.
class ModuleList : public Module {
 public:
  explicit ModuleList(const std::vector<std::shared_ptr<Module>>& modules);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "ModuleList"; }
};

}  // namespace attendo::nn

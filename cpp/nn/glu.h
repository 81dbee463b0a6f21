#pragma once

#include "core/cost.h"
#include "nn/module.h"
#include "ops/glu.h"

namespace attendo::nn {

// 'sigmoid', 'silu', 'gelu', 'gelu_tanh' or 'relu'
GateActivation gate_activation_of(const char* op, const std::string& name);

// A gated linear unit: halves the last axis.
class GLU : public Module {
 public:
  explicit GLU(GateActivation activation) : activation_(activation) {}
  Tensor operator()(const Tensor& x) {
    CostScope scope(this);
    return scope.gives(glu(x, activation_));
  }
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("GLU", inputs))}; }
  std::string type_name() const override { return "GLU"; }
  std::string extra_repr() const override;

 private:
  GateActivation activation_;
};

}  // namespace attendo::nn

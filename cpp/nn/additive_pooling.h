#pragma once

#include "attention/scaled_dot_product.h"
#include "nn/layers.h"

namespace attendo::nn {

// One vector of a sequence: a sum of its positions, weighted by a small network's score of each.
class AdditivePooling : public Module {
 public:
  AdditivePooling(Index d_model, Index units, DType dtype);
  // x (B, S, d_model) -> out (B, d_model), weights (B, S). A mask is (B, 1, S).
  AttentionResult operator()(const Tensor& x, const AttentionOptions& options, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "AdditivePooling"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  std::shared_ptr<Linear> hidden_;
};

}  // namespace attendo::nn

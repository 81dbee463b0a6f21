#pragma once

#include "nn/additive_attention.h"

namespace attendo::nn {

struct LuongOptions {
  Index query_dim = 0, memory_dim = 0, out_features = 0;
  std::string score = "general";  // dot, general or concat
  Index units = 0;                // of concat
  DType dtype = DType::kFloat32;
};

// Luong's attention: the attentional vector of each decoder state.
class LuongAttention : public Module {
 public:
  explicit LuongAttention(const LuongOptions& o);
  // query (B, D) or (B, L, D), memory (B, S, Ds) -> h̃ (B, out) or (B, L, out), weights (B, S) or (B, L, S)
  AttentionResult operator()(const Tensor& query, const Tensor& memory, const AttentionOptions& options,
                             bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "LuongAttention"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  LuongOptions o_;
};

}  // namespace attendo::nn

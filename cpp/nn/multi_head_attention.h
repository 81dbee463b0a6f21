#pragma once

#include <optional>

#include "attention/kv_cache.h"
#include "attention/multi_head.h"
#include "nn/layers.h"

namespace attendo::nn {

// Rotary positions of queries and keys.
struct Rotary {
  Index dim = 0;  // how many of a head's features are turned; 0: all
  double base = 10000;
  std::vector<double> frequencies{};  // in place of dim and base
  bool interleaved = false;
};

// 0 stands for the usual: as many key-value heads as heads, heads of d_model / num_heads, keys and values of d_model.
struct MultiHeadOptions {
  Index d_model = 0, num_heads = 0;
  Index num_kv_heads = 0;
  Index head_dim = 0, value_dim = 0;  // of one head; value_dim is head_dim unless given
  Index kdim = 0, vdim = 0;           // features of the keys and values that come in
  double dropout = 0;
  bool bias = true;                // of the input projections,
  std::optional<bool> out_bias{};  // and of the output's: as `bias` unless given
  std::optional<double> scale{};
  bool qk_norm = false;  // RMS norm of every head of queries and keys
  double qk_norm_eps = 1e-6;
  std::optional<Rotary> rotary{};
  DType dtype = DType::kFloat32;
};

class MultiHeadAttention : public Module {
 public:
  MultiHeadAttention(MultiHeadOptions options);
  MultiHeadAttention(Index d_model, Index num_heads, double dropout, bool bias, DType dtype);

  AttentionResult operator()(const Tensor& query, const Tensor& key, const Tensor& value, AttentionOptions options,
                             bool return_weights = false);
  // New positions of a sequence, x (B, T, E), attend to themselves and those before them, whose keys and values are in the
  // cache; theirs join them. counts: int64 (B,), how many of the T are real in each batch entry; the rows behind them are
  // without meaning. Of the options: bias, over all positions, and left. Off the tape.
  Tensor step(const Tensor& x, KVCache& cache, AttentionOptions options = {}, const Tensor& counts = {}) const;
  // Attention to a memory whose keys and values (B, S, ·) are projected once. Off the tape.
  Tensor project_memory(const Tensor& memory) const;
  Tensor attend_memory(const Tensor& x, const Tensor& projected, AttentionOptions options) const;
  // One input attends to itself; three are query, key and value.
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "MultiHeadAttention"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  std::vector<std::string> matrices() const override {
    if (is_stacked()) return {"in_proj_weight"};
    return {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
  }

  const MultiHeadOptions& options() const { return options_; }
  Index num_heads() const { return options_.num_heads; }
  Index d_model() const { return options_.d_model; }
  MultiHeadWeights weights() const;
  HeadShape shape() const;
  DType dtype() const { return options_.dtype; }

 private:
  HeadTransforms transforms(const RotaryOptions& q_positions, const RotaryOptions& k_positions) const;
  bool is_stacked() const { return options_.kdim == options_.d_model && options_.vdim == options_.d_model; }

  MultiHeadOptions options_;
  std::shared_ptr<Linear> out_proj_;
};

}  // namespace attendo::nn

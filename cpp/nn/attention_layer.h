#pragma once

#include "attention/scored.h"
#include "nn/layers.h"

namespace attendo::nn {

// Attention in the manner of Keras: called with [query, value] or [query, value, key], or one tensor for all three.
class AttentionLayer : public Module {
 public:
  enum class Mode { kDot, kConcat, kPooled };
  AttentionLayer(Index features, const std::string& score_mode, bool use_scale, double dropout, DType dtype);
  // query (B, L, D), value (B, S, Dv), key (B, S, D) -> out (B, L, Dv), weights (B, L, S); pooled: (B, Dv), (B, S). query_mask
  // (B, L) and value_mask (B, S) may be undefined; `causal` is that of `options`.
  AttentionResult operator()(const Tensor& query, const Tensor& value, const Tensor& key, const Tensor& query_mask,
                             const Tensor& value_mask, AttentionOptions options, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "AttentionLayer"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  Mode mode() const { return mode_; }

 private:
  Index features_;
  Mode mode_ = Mode::kDot;
  bool use_scale_;
  double dropout_;
  DType dtype_;
};

}  // namespace attendo::nn

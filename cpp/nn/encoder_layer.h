#pragma once

#include "nn/feed_forward.h"
#include "nn/multi_head_attention.h"

namespace attendo::nn {

struct LayerOptions {
  Index d_model = 0, num_heads = 0, dff = 0;
  double dropout = 0;
  std::string activation = "relu";
  bool norm_first = false;
  DType dtype = DType::kFloat32;
};

class EncoderLayer : public Module {
 public:
  explicit EncoderLayer(const LayerOptions& o);
  // x (B, L, d_model) -> out the same, weights (B, H, L, L) when asked for
  AttentionResult operator()(const Tensor& x, const AttentionOptions& options, bool return_weights);
  // New positions of a causal sequence, with the cache of MultiHeadAttention::step. Off the tape.
  Tensor step(const Tensor& x, KVCache& cache);
  Tensors forward(const Tensors& inputs) override {
    return {(*this)(only_input("EncoderLayer", inputs), {}, false).out};
  }
  std::string type_name() const override { return "EncoderLayer"; }
  std::string extra_repr() const override { return norm_first_ ? "norm_first=True" : ""; }

 private:
  bool norm_first_;
  std::shared_ptr<MultiHeadAttention> self_attn_;
  std::shared_ptr<FeedForward> feed_forward_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<Dropout> dropout1_, dropout2_;
};

// 0 to 10,000: more is a mistake, found before the memory is full.
void check_num_layers(const char* stack, Index num_layers);

struct StackResult {
  Tensor out;
  Tensors weights;        // a layer each: self-attention
  Tensors cross_weights;  // decoder only
};

class Encoder : public Module {
 public:
  Encoder(Index num_layers, const LayerOptions& o);
  StackResult operator()(const Tensor& x, const AttentionOptions& options, bool return_weights);
  // A cache a layer for causal sequences of about `capacity` positions, and their next ones.
  std::vector<KVCache> start(Index capacity) const;
  Tensor step(const Tensor& x, std::vector<KVCache>& caches);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Encoder", inputs), {}, false).out}; }
  std::string type_name() const override { return "Encoder"; }

 private:
  std::vector<std::shared_ptr<EncoderLayer>> layers_;
  std::shared_ptr<LayerNorm> norm_;  // only with norm_first: the last sum has no norm behind it otherwise
};

}  // namespace attendo::nn

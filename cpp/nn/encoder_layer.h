#pragma once

#include "nn/feed_forward.h"
#include "nn/multi_head_attention.h"
#include "nn/block_norm.h"

namespace attendo::nn {

// The first seven are the paper's Transformer; the rest is what later models changed.
struct LayerOptions {
  Index d_model = 0, num_heads = 0, dff = 0;
  double dropout = 0;
  std::string activation = "relu";
  bool norm_first = false;
  DType dtype = DType::kFloat32;

  std::string norm = "layer";  // or 'rms'
  double norm_eps = 1e-5;
  bool bias = true;                                  // of every linear layer,
  std::optional<bool> qkv_bias = {}, out_bias = {};  // but for those before attention, and the one behind it
  Index num_kv_heads = 0, head_dim = 0;
  std::optional<double> scale = {};  // of the scores
  bool qk_norm = false;
  std::optional<Rotary> rotary = {};
  Index window = 0;  // keys that a position of a causal sequence sees, itself included; 0: all before it

  MultiHeadOptions attention() const;
  BlockNorm make_norm() const { return BlockNorm(norm, d_model, norm_eps, dtype); }
};

class EncoderLayer : public Module {
 public:
  explicit EncoderLayer(const LayerOptions& o);
  // x (B, L, d_model) -> out the same, weights (B, H, L, L) when asked for
  AttentionResult operator()(const Tensor& x, const AttentionOptions& options, bool return_weights);
  // New positions of a causal sequence, as in MultiHeadAttention::step. Off the tape.
  Tensor step(const Tensor& x, KVCache& cache, const AttentionOptions& options = {}, const Tensor& counts = {});
  Tensors forward(const Tensors& inputs) override {
    return {(*this)(only_input("EncoderLayer", inputs), {}, false).out};
  }
  std::string type_name() const override { return "EncoderLayer"; }
  std::string extra_repr() const override { return norm_first_ ? "norm_first=True" : ""; }

 private:
  AttentionOptions with_window(AttentionOptions options) const;

  bool norm_first_;
  Index window_;
  std::shared_ptr<MultiHeadAttention> self_attn_;
  std::shared_ptr<FeedForward> feed_forward_;
  BlockNorm norm1_, norm2_;
  std::shared_ptr<Dropout> dropout1_, dropout2_;
};

// 0 to 10,000: more is a mistake, found before the memory is full.
void check_num_layers(const char* stack, Index num_layers);

// What a stack gives besides its output.
struct Wanted {
  bool weights = false, hidden = false;
};

struct StackResult {
  Tensor out;
  Tensors weights;        // a layer each: self-attention
  Tensors cross_weights;  // decoder only
  Tensors hidden;         // what goes into each layer, and what comes out of the last, before any last norm
};

class Encoder : public Module {
 public:
  // windows: one for each layer in place of that of the options; or none at all.
  Encoder(Index num_layers, const LayerOptions& o, const std::vector<Index>& windows = {});
  StackResult operator()(const Tensor& x, const AttentionOptions& options, Wanted wanted);
  StackResult operator()(const Tensor& x, const AttentionOptions& options, bool return_weights) {
    return (*this)(x, options, Wanted{return_weights, false});
  }
  // The same for sequences of which the first lengths[b] positions are real, int64 (B,): the layers see these alone, one
  // sequence after the other, and the others come out as zeros. Without rotary positions. In evaluation, off the tape.
  Tensor without_padding(const Tensor& x, const Tensor& lengths);
  // A cache a layer for causal sequences of about `capacity` positions, and their next ones.
  std::vector<KVCache> start(Index capacity) const;
  Tensor step(const Tensor& x, std::vector<KVCache>& caches, const AttentionOptions& options = {},
              const Tensor& counts = {});
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Encoder", inputs), {}, false).out}; }
  std::string type_name() const override { return "Encoder"; }

 private:
  std::vector<std::shared_ptr<EncoderLayer>> layers_;
  BlockNorm norm_;  // only with norm_first: the last sum has no norm behind it otherwise
  bool rotary_;
};

}  // namespace attendo::nn

#pragma once

#include "nn/encoder_layer.h"

namespace attendo::nn {

// Keys and values of the positions decoded so far, and those of the memory, for one decoder layer.
struct LayerCache {
  KVCache self;
  Tensor memory;  // (B, S, ·): its keys and values, projected once
};

class DecoderLayer : public Module {
 public:
  explicit DecoderLayer(const LayerOptions& o);

  struct Result {
    Tensor out, weights, cross_weights;
  };
  // x (B, T, d_model), memory (B, S, d_model); self-attention is causal when self_options say so.
  Result operator()(const Tensor& x, const Tensor& memory, const AttentionOptions& self_options,
                    const AttentionOptions& cross_options, bool return_weights);
  // New positions, x (B, T, d_model), as in MultiHeadAttention::step. Off the tape.
  Tensor step(const Tensor& x, LayerCache& cache, const AttentionOptions& cross_options,
              const AttentionOptions& self_options = {});
  LayerCache start(const Tensor& memory, Index capacity) const;

  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "DecoderLayer"; }
  std::string extra_repr() const override { return norm_first_ ? "norm_first=True" : ""; }

 private:
  bool norm_first_;
  std::shared_ptr<MultiHeadAttention> self_attn_, cross_attn_;
  std::shared_ptr<FeedForward> feed_forward_;
  BlockNorm norm1_, norm2_, norm3_;
  std::shared_ptr<Dropout> dropout1_, dropout2_, dropout3_;
};

class Decoder : public Module {
 public:
  Decoder(Index num_layers, const LayerOptions& o);
  StackResult operator()(const Tensor& x, const Tensor& memory, const AttentionOptions& self_options,
                         const AttentionOptions& cross_options, Wanted wanted);
  StackResult operator()(const Tensor& x, const Tensor& memory, const AttentionOptions& self_options,
                         const AttentionOptions& cross_options, bool return_weights) {
    return (*this)(x, memory, self_options, cross_options, Wanted{return_weights, false});
  }
  std::vector<LayerCache> start(const Tensor& memory, Index capacity) const;
  Tensor step(const Tensor& x, std::vector<LayerCache>& caches, const AttentionOptions& cross_options,
              const AttentionOptions& self_options = {});
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "Decoder"; }

 private:
  std::vector<std::shared_ptr<DecoderLayer>> layers_;
  BlockNorm norm_;
};

}  // namespace attendo::nn

#pragma once

#include "models/decoding.h"
#include "nn/block_norm.h"
#include "nn/feed_forward.h"
#include "nn/relative_multi_head_attention.h"

namespace attendo::models {

struct TransformerXLOptions {
  Index vocab_size = 0, d_model = 0, num_heads = 0, num_layers = 0, memory_length = 0, dff = 0;
  double dropout = 0;
  std::string activation = "relu";
  bool norm_first = false, tie_weights = false;
  DType dtype = DType::kFloat32;
};

// Attention with a memory, then a feed-forward network.
class TransformerXLLayer : public nn::Module {
 public:
  explicit TransformerXLLayer(const TransformerXLOptions& o);
  // x (B, L, d), memory (B, M, d) or undefined -> out (B, L, d), weights (B, H, L, M + L)
  AttentionResult operator()(const Tensor& x, const Tensor& memory, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "TransformerXLLayer"; }

 private:
  bool norm_first_;
  std::shared_ptr<nn::RelativeMultiHeadAttention> self_attn_;
  std::shared_ptr<nn::FeedForward> feed_forward_;
  nn::BlockNorm norm1_, norm2_;
  std::shared_ptr<nn::Dropout> dropout1_, dropout2_;
};

struct SegmentResult {
  Tensor logits;    // (B, L, vocab_size)
  Tensors memory;   // of each layer, (B, up to memory_length, d), off the tape: for the next segment
  Tensors weights;  // of each layer, (B, H, L, M + L), when asked for
};

class TransformerXL : public nn::Module {
 public:
  explicit TransformerXL(const TransformerXLOptions& o);

  // ids (B, L) int64; memory: what the segment before left, or none
  SegmentResult segment(const Tensor& ids, const Tensors& memory, bool return_weights);
  // ids (B, L) -> logits (B, L, vocab_size), with no memory
  Tensors forward(const Tensors& inputs) override {
    return {segment(nn::only_input("TransformerXL", inputs), {}, false).logits};
  }
  // For decoding. The model must outlive it.
  std::unique_ptr<DecodeState> begin();

  std::string type_name() const override { return "TransformerXL"; }
  const TransformerXLOptions& options() const { return o_; }

 private:
  TransformerXLOptions o_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::vector<std::shared_ptr<TransformerXLLayer>> layers_;
  nn::BlockNorm norm_;                     // with norm_first
  std::shared_ptr<nn::Linear> generator_;  // null when the weights are tied
};

}  // namespace attendo::models

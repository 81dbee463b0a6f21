#pragma once

#include "models/decoding.h"
#include "nn/encoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

struct DecoderLMOptions {
  Index vocab_size = 0, num_layers = 0, max_len = 0;
  nn::LayerOptions layer;
  std::string positions = "sinusoidal";  // or 'learned', 'rotary', 'none'
  nn::Rotary rotary{};                   // with positions 'rotary'
  bool tie_weights = false;
  bool head_bias = true;         // of the layer to the vocabulary, where the weights are not tied
  bool scale_embeddings = true;  // by √d
  std::vector<Index> windows{};  // of every layer, in place of that of the options; or none at all
};

// What a model of one stack gives: logits, and on request what led to them.
struct LMOutput {
  Tensor logits, last_hidden;  // last_hidden (B, S, d): what the logits are made of
  Tensors hidden;              // (B, S, d) each: the embeddings, and every layer's output
  Tensors attentions;          // (B, H, S, S) each
};

class DecoderLM : public nn::Module {
 public:
  explicit DecoderLM(const DecoderLMOptions& o);

  // ids (B, S) int64 -> logits (B, S, vocab_size)
  Tensor operator()(const Tensor& ids) { return outputs(ids, {}).logits; }
  LMOutput outputs(const Tensor& ids, nn::Wanted wanted);
  // For decode and Generation: these prompts, and room for so many tokens more. It must not outlive the model.
  std::unique_ptr<DecodeState> begin(const Prompts& prompts, const DecodeOptions& options);

  Tensors forward(const Tensors& inputs) override { return {(*this)(nn::only_input("DecoderLM", inputs))}; }
  std::string type_name() const override { return "DecoderLM"; }
  const DecoderLMOptions& options() const { return o_; }

 private:
  class State;
  void check_ids(const Tensor& ids) const;
  Tensor embed(const Tensor& ids, const std::vector<Index>& offsets = {});
  Tensor logits(const Tensor& x);
  AttentionOptions causal() const;

  DecoderLMOptions o_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::PositionalEncoding> position_;  // null where no table is added
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> decoder_;   // a decoder without a memory is an encoder with causal attention
  std::shared_ptr<nn::Linear> generator_;  // null when the weights are tied
};

}  // namespace attendo::models

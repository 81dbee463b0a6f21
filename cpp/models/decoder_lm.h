#pragma once

#include "nn/encoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

struct DecoderLMOptions {
  Index vocab_size = 0, d_model = 0, num_heads = 0, num_layers = 0, max_len = 0, dff = 0;
  double dropout = 0;
  std::string activation = "relu";
  bool norm_first = false;
  std::string positions = "sinusoidal";
  bool tie_weights = false;
  DType dtype = DType::kFloat32;
};

class DecoderLM : public nn::Module {
 public:
  explicit DecoderLM(const DecoderLMOptions& o);

  // ids (B, S) int64 -> logits (B, S, vocab_size)
  Tensor operator()(const Tensor& ids);
  // Greedy, on a key-value cache: ids (B, S) -> (B, S + max_new_tokens). `interrupted` is asked between steps.
  Tensor generate(const Tensor& ids, Index max_new_tokens, const std::function<void()>& interrupted);

  Tensors forward(const Tensors& inputs) override { return {(*this)(nn::only_input("DecoderLM", inputs))}; }
  std::string type_name() const override { return "DecoderLM"; }
  const DecoderLMOptions& options() const { return o_; }

 private:
  void check_ids(const Tensor& ids) const;
  Tensor embed(const Tensor& ids, Index offset);
  Tensor logits(const Tensor& x);

  DecoderLMOptions o_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::PositionalEncoding> position_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> decoder_;   // a decoder without a memory is an encoder with causal attention
  std::shared_ptr<nn::Linear> generator_;  // null when the weights are tied
};

}  // namespace attendo::models

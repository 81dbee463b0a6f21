#pragma once

#include "models/text_encoder.h"

namespace attendo::models {

struct MaskedLMOptions {
  TextEncoderOptions text;
  std::string head_activation = "gelu";  // 'relu', 'gelu_tanh', 'silu'
};

struct MaskedLMOutput {
  Tensor logits;
  TextOutput text;
};

class MaskedLM : public nn::Module {
 public:
  explicit MaskedLM(const MaskedLMOptions& o);
  // -> logits (B, L, vocab_size)
  Tensor operator()(const TextInput& input) { return outputs(input, {}).logits; }
  MaskedLMOutput outputs(const TextInput& input, nn::Wanted wanted);

  Tensors forward(const Tensors& inputs) override { return {(*this)(text_input("MaskedLM", inputs))}; }
  std::string type_name() const override { return "MaskedLM"; }
  void reset_own(Generator& generator) override;
  const MaskedLMOptions& options() const { return o_; }

 private:
  MaskedLMOptions o_;
  Activation activation_;
  std::shared_ptr<TextEncoder> text_;
  std::shared_ptr<nn::Linear> dense_;
  nn::BlockNorm norm_;
};

}  // namespace attendo::models

#pragma once

#include "models/text_encoder.h"

namespace attendo::models {

struct EncoderClassifierOptions {
  TextEncoderOptions text;
  Index num_classes = 2;
  std::string pooling = "first";  // or 'mean', 'attention'
  double head_dropout = 0;
};

struct EncoderClassifierOutput {
  Tensor logits;
  TextOutput text;
};

class EncoderClassifier : public nn::Module {
 public:
  explicit EncoderClassifier(const EncoderClassifierOptions& o);
  // -> logits (B, num_classes)
  Tensor operator()(const TextInput& input) { return outputs(input, {}).logits; }
  EncoderClassifierOutput outputs(const TextInput& input, nn::Wanted wanted);

  Tensors forward(const Tensors& inputs) override { return {(*this)(text_input("EncoderClassifier", inputs))}; }
  std::string type_name() const override { return "EncoderClassifier"; }
  void reset_own(Generator& generator) override;
  const EncoderClassifierOptions& options() const { return o_; }

 private:
  EncoderClassifierOptions o_;
  std::shared_ptr<TextEncoder> text_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Linear> classifier_;
};

}  // namespace attendo::models

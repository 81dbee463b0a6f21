#pragma once

#include "nn/encoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

struct TextEncoderOptions {
  Index vocab_size = 0, num_layers = 0, max_len = 0;
  nn::LayerOptions layer{.activation = "gelu", .norm_eps = 1e-12};
  Index type_vocab_size = 0;          // 0: tokens have no types
  std::string positions = "learned";  // or 'sinusoidal', 'none'
  std::optional<Index> pad_id = {};   // positions count the tokens that are not pad_id, from pad_id + 1 on
  std::string pooler = "none";        // or the activation behind its layer, 'tanh' or 'relu'
};

struct TextInput {
  Tensor ids;          // int64 (B, L)
  Tensor mask;         // bool (B, L): true = a real token; undefined: all are
  Tensor token_types;  // int64 (B, L); undefined: all 0
};
// ids, mask, token_types, the last two if there are any.
TextInput text_input(const char* model, const Tensors& inputs);

struct TextOutput {
  Tensor last_hidden;          // (B, L, d)
  Tensor pooled;               // (B, d), undefined without a pooler
  Tensors hidden, attentions;  // (B, L, d) and (B, H, L, L) each, when asked for
};

class TextEncoder : public nn::Module {
 public:
  explicit TextEncoder(const TextEncoderOptions& o);
  Tensor operator()(const TextInput& input) { return outputs(input, {}).last_hidden; }
  TextOutput outputs(const TextInput& input, nn::Wanted wanted);

  Tensors forward(const Tensors& inputs) override { return {(*this)(text_input("TextEncoder", inputs))}; }
  std::string type_name() const override { return "TextEncoder"; }
  const TextEncoderOptions& options() const { return o_; }
  const Tensor& word_table() const { return embedding_->weight(); }
  // (B, L, d) -> (B, d): what the pooler makes of each first token; the token itself without one.
  Tensor pool(const Tensor& last_hidden);

 private:
  void check(const TextInput& input) const;
  Tensor positions_of(const Tensor& ids) const;
  Tensor embed(const Tensor& ids, const Tensor& positions, const Tensor& token_types);

  TextEncoderOptions o_;
  std::shared_ptr<nn::Embedding> embedding_, token_type_;  // the latter null without types
  std::shared_ptr<nn::PositionalEncoding> position_;       // or null
  nn::BlockNorm norm_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> encoder_;
  std::shared_ptr<nn::Linear> pooler_;  // or null
};

// (B, L, d), zeros at padding -> (B, d): the mean over the real tokens, zeros where there is none.
Tensor mean_of_tokens(const Tensor& hidden, const Tensor& mask);

}  // namespace attendo::models

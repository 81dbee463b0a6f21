#pragma once

#include "models/decoding.h"
#include "nn/decoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

// The first group is the paper's; the rest is what T5 and Marian do otherwise.
struct TransformerOptions {
  Index num_encoder_layers = 0, num_decoder_layers = 0;
  Index input_vocab_size = 0, target_vocab_size = 0, max_len = 0;
  nn::LayerOptions layer;
  Index pad_id = 0;

  Index decoder_nhead = 0, decoder_dff = 0;  // 0: as in the encoder
  std::string positions = "sinusoidal";      // or 'sinusoidal_halves', 'learned', 't5', 'none'
  Index num_buckets = 32, max_distance = 128;
  bool scale_embeddings = true;    // by √d
  bool shared_embeddings = false;  // one table for source and target
  bool embed_padding = false;      // the row of padding is one like the others
  bool tie_weights = false;
  std::optional<bool> head_bias = {};  // of the logits: unless given, where the weights are not tied
  bool scale_logits = false;           // by 1/√d

  bool has_head_bias() const { return head_bias.value_or(!tie_weights); }
  nn::LayerOptions decoder_layer() const;
};

struct TransformerOutput {
  Tensor logits;
  nn::StackResult encoder, decoder;  // out and the last of hidden: behind the last norm
};

class Transformer : public nn::Module {
 public:
  explicit Transformer(const TransformerOptions& o);

  // src (B, S), tgt (B, T) int64 -> logits (B, T, target_vocab_size). src_mask: bool (B, S), true for a token; undefined:
  // what is not pad_id.
  Tensor operator()(const Tensor& src, const Tensor& tgt, const Tensor& src_mask = {});
  TransformerOutput outputs(const Tensor& src, const Tensor& tgt, const Tensor& src_mask, nn::Wanted wanted);
  // src (B, S) -> memory (B, S, d_model)
  Tensor encode(const Tensor& src, const Tensor& src_mask = {});
  // For decode and Generation, the prompts being bos alone, (B, 1): src (B, S) encoded. It must not outlive the model.
  std::unique_ptr<DecodeState> begin(const Tensor& src, const Tensor& src_mask, Index bos_id,
                                     const DecodeOptions& options);

  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "Transformer"; }
  void reset_own(Generator& generator) override;
  const TransformerOptions& options() const { return o_; }

 private:
  class State;
  struct Source {
    Tensor ids;      // trimmed: without the last columns that are padding in every row
    Tensor lengths;  // (B,)
    Tensor mask;     // only where padding stands between tokens
    AttentionOptions options() const;
  };
  // One of the two stacks' ways from ids to what goes into it.
  struct Input {
    std::shared_ptr<nn::Embedding> embedding;
    std::shared_ptr<nn::PositionalEncoding> position;  // null where no table is added
    const char* relative_bias = nullptr;               // with positions 't5': the name of its table
    bool bidirectional = true;
  };
  Source source(const Tensor& src, const Tensor& src_mask, bool trim) const;
  Tensor embed(const Input& in, const Tensor& ids, Index offset);
  AttentionOptions self_options(const Input& in, AttentionOptions options, Index offset, Index length) const;
  nn::StackResult encode(const Source& s, nn::Wanted wanted);
  TransformerOutput run(const Tensor& src, const Tensor& tgt, const Tensor& src_mask, bool trim, nn::Wanted wanted);
  Tensor logits(const Tensor& x) const;
  const Tensor& own(const char* name) const;
  void check_ids(const char* name, const Tensor& ids, Index vocabulary) const;

  TransformerOptions o_;
  Input src_, tgt_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> encoder_;
  std::shared_ptr<nn::Decoder> decoder_;
  std::shared_ptr<nn::Linear> generator_;  // null when the weights are tied
};

}  // namespace attendo::models

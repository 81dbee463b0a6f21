#pragma once

#include "nn/decoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

struct TransformerOptions {
  Index d_model = 0, nhead = 0, num_encoder_layers = 0, num_decoder_layers = 0, dff = 0;
  Index input_vocab_size = 0, target_vocab_size = 0, max_len = 0;
  double dropout = 0.1;
  std::string activation = "relu";
  bool norm_first = false;
  Index pad_id = 0;
  DType dtype = DType::kFloat32;
};

class Transformer : public nn::Module {
 public:
  explicit Transformer(const TransformerOptions& o);

  // src (B, S), tgt (B, T) int64 -> logits (B, T, target_vocab_size)
  Tensor operator()(const Tensor& src, const Tensor& tgt);
  // As above, with the attention of every layer: weights (B, H, T, T), cross_weights (B, H, T, S).
  nn::StackResult with_attention(const Tensor& src, const Tensor& tgt);
  // src (B, S) -> memory (B, S, d_model)
  Tensor encode(const Tensor& src);
  // Greedy decoding on a key-value cache: ids (B, T) without bos, up to and with eos, then pad_id. `interrupted` is asked
  // between steps.
  Tensor translate(const Tensor& src, Index bos_id, Index eos_id, Index max_len,
                   const std::function<void()>& interrupted);

  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "Transformer"; }
  const TransformerOptions& options() const { return o_; }

 private:
  struct Source {
    Tensor ids;      // trimmed: without the last columns that are padding in every row
    Tensor lengths;  // (B,)
    Tensor mask;     // only where padding stands between tokens
  };
  Source source(const Tensor& src, bool trim) const;
  AttentionOptions source_options(const Source& s) const;
  Tensor embed(nn::Embedding& table, const Tensor& ids, Index offset);
  nn::StackResult run(const Tensor& src, const Tensor& tgt, bool trim, bool return_weights);
  void check_ids(const char* name, const Tensor& ids, Index vocabulary) const;

  TransformerOptions o_;
  std::shared_ptr<nn::Embedding> src_embedding_, tgt_embedding_;
  std::shared_ptr<nn::SinusoidalPositionalEncoding> position_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> encoder_;
  std::shared_ptr<nn::Decoder> decoder_;
  std::shared_ptr<nn::Linear> generator_;
};

}  // namespace attendo::models

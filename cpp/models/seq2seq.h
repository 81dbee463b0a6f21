#pragma once

#include "attention/scored.h"
#include "models/decoding.h"
#include "models/token_ids.h"
#include "nn/recurrent.h"

namespace attendo::models {

struct Seq2SeqOptions {
  Index input_vocab_size = 0, target_vocab_size = 0, embedding_dim = 0, hidden_size = 0, num_layers = 1;
  std::string cell = "lstm", attention = "bahdanau";
  std::string score;  // of luong: dot, general or concat; empty: additive for bahdanau, general for luong
  bool input_feeding = false, bidirectional = false;
  double dropout = 0;
  Index pad_id = 0;
  DType dtype = DType::kFloat32;
};

class Seq2Seq : public nn::Module {
 public:
  explicit Seq2Seq(const Seq2SeqOptions& o);

  // src (B, S), tgt (B, T) int64 -> logits (B, T, target_vocab_size)
  Tensor operator()(const Tensor& src, const Tensor& tgt);
  // The weights alone: (B, T, S)
  Tensor cross_attention(const Tensor& src, const Tensor& tgt);
  // For decode and Generation, the prompts being bos alone, (B, 1): src (B, S) encoded. It must not outlive the model.
  std::unique_ptr<DecodeState> begin(const Tensor& src, Index bos_id, const DecodeOptions& options);

  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "Seq2Seq"; }
  void reset_own(Generator& generator) override;
  const Seq2SeqOptions& options() const { return o_; }

 private:
  class Decoding;
  // What decoding knows of the source, and of the tokens so far.
  struct State {
    Tokens source;
    Tensor memory, keys;  // (B, n, ·): the encoder's output, and what queries are compared with
    Tensor h, c;          // (layers, B, hidden)
    Tensor fed;           // (B, 1, hidden): the readout of the step before
  };
  bool is_luong() const { return o_.attention == "luong"; }
  bool is_additive() const { return o_.score == "additive" || o_.score == "concat"; }
  bool steps_feed_back() const { return !is_luong() || o_.input_feeding; }
  std::shared_ptr<nn::Recurrent> recurrent(Index input_size, bool bidirectional) const;
  State encode(const Tensor& src);
  AttentionResult attend(const Tensor& states, const State& s, bool return_weights);
  AttentionResult decode(const Tensor& embedded, State& s, bool return_weights);
  AttentionResult run(const Tensor& src, const Tensor& tgt, bool return_weights);

  Seq2SeqOptions o_;
  std::shared_ptr<nn::Embedding> src_embedding_, tgt_embedding_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Recurrent> encoder_, decoder_;
  std::shared_ptr<nn::Linear> bridge_h_, bridge_c_;  // of a bidirectional encoder's last states
  std::shared_ptr<nn::Linear> query_, key_;          // null where states and memory are compared as they are
  std::shared_ptr<nn::Linear> readout_, generator_;
};

}  // namespace attendo::models

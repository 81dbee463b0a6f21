#pragma once

#include "nn/recurrent.h"
#include "nn/additive_pooling.h"

namespace attendo::models {

struct LstmAttentionOptions {
  Index vocab_size = 0, num_classes = 0, embedding_dim = 64, hidden_size = 64, num_layers = 1;
  Index attention_features = 64;
  bool bidirectional = false;
  double dropout = 0;
  Index pad_id = 0;
  DType dtype = DType::kFloat32;
};

class LstmAttention : public nn::Module {
 public:
  explicit LstmAttention(const LstmAttentionOptions& o);
  // ids (B, L) int64, lengths (B,) int64 or undefined -> out: logits (B, num_classes), weights (B, L)
  AttentionResult operator()(const Tensor& ids, const Tensor& lengths, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "LstmAttention"; }
  const LstmAttentionOptions& options() const { return o_; }

 private:
  void check_lengths(const Tensor& ids, const Tensor& lengths) const;

  LstmAttentionOptions o_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::LSTM> lstm_;
  std::shared_ptr<nn::AdditivePooling> attention_;
  std::shared_ptr<nn::Linear> fc_;
};

}  // namespace attendo::models

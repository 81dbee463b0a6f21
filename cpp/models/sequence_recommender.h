#pragma once

#include "nn/encoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

struct SequenceRecommenderOptions {
  Index num_items = 0, d_model = 0, num_heads = 1, num_layers = 2, max_len = 0, dff = 0;
  double dropout = 0.2;
  std::string activation = "relu";
  bool norm_first = true;
  DType dtype = DType::kFloat32;
};

// What to offer next, from what came before. Items are 1 to num_items; 0 is padding, on either side.
class SequenceRecommender : public nn::Module {
 public:
  explicit SequenceRecommender(const SequenceRecommenderOptions& o);

  // items (B, L) int64 -> logits (B, L, num_items + 1); with candidates (B, L, C): theirs alone, (B, L, C)
  Tensor operator()(const Tensor& items, const Tensor& candidates);
  // The k best items after each row: ids (B, k) int64 and scores (B, k), best first. Only the last max_len items of a row
  // count. exclude_seen: none that the row holds.
  std::pair<Tensor, Tensor> recommend(const Tensor& items, Index k, bool exclude_seen);

  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "SequenceRecommender"; }
  const SequenceRecommenderOptions& options() const { return o_; }

 private:
  Tensor encode(const Tensor& ids);

  SequenceRecommenderOptions o_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::LearnedPositionalEncoding> position_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> encoder_;
};

}  // namespace attendo::models

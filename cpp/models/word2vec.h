#pragma once

#include "nn/module.h"

namespace attendo::models {

struct Word2VecOptions {
  Index vocab_size = 0, embedding_dim = 64, num_negatives = 5;
  bool cbow = false, sparse = true;
  DType dtype = DType::kFloat32;
  Tensor counts;  // (vocab_size,) float64: how often each word occurs; undefined: all alike
};

class Word2Vec : public nn::Module {
 public:
  explicit Word2Vec(const Word2VecOptions& o);
  // words (B,), for cbow (B, C) with -1 for no word, targets (B,), negatives (B, K) or undefined: drawn -> losses (B,)
  Tensor operator()(const Tensor& words, const Tensor& targets, const Tensor& negatives);
  Tensors forward(const Tensors& inputs) override;
  Tensor draw_negatives(Index pairs);  // (pairs, num_negatives)
  // The k words whose vectors point most nearly the same way: ids (k,) and cosines (k,), nearest first.
  std::pair<Tensor, Tensor> most_similar(Index word, Index k) const;
  std::string type_name() const override { return "Word2Vec"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;
  const Word2VecOptions& options() const { return o_; }
  const Tensor& input_vectors() const { return own_parameters()[0].second; }
  const Tensor& output_vectors() const { return own_parameters()[1].second; }

 private:
  const Tensor& noise() const { return own_buffers()[0].second; }
  Word2VecOptions o_;
};

}  // namespace attendo::models

#pragma once

#include "nn/convolution.h"
#include "nn/cross_modal_attention.h"
#include "nn/positional_encoding.h"

namespace attendo::models {

struct CrossModalClassifierOptions {
  Index vocab_size = 0, num_classes = 0, max_len = 0;
  Index image_height = 0, image_width = 0, patch_height = 0, patch_width = 0, in_channels = 3;
  Index d_model = 0, num_heads = 0, num_layers = 1, dff = 0;
  Index pad_id = 0;
  double dropout = 0;
  DType dtype = DType::kFloat32;
};

struct CrossModalClassified {
  Tensor logits;          // (B, num_classes)
  Tensors text_weights;   // of each layer: where the words look in the image, (B, H, L, N)
  Tensors image_weights;  // and the patches in the text, (B, H, N, L)
};

class CrossModalClassifier : public nn::Module {
 public:
  explicit CrossModalClassifier(const CrossModalClassifierOptions& o);
  // ids (B, L) int64, images (B, C, height, width)
  CrossModalClassified operator()(const Tensor& ids, const Tensor& images, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "CrossModalClassifier"; }
  const CrossModalClassifierOptions& options() const { return o_; }
  Index patches() const { return o_.image_height / o_.patch_height * (o_.image_width / o_.patch_width); }

 private:
  CrossModalClassifierOptions o_;
  std::shared_ptr<nn::Embedding> embedding_;
  std::shared_ptr<nn::LearnedPositionalEncoding> position_, patch_position_;
  std::shared_ptr<nn::Conv2d> patch_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::vector<std::shared_ptr<nn::CrossModalAttention>> layers_;
  std::shared_ptr<nn::Linear> hidden_, classifier_;
};

}  // namespace attendo::models

#pragma once

#include "nn/multi_head_attention.h"

namespace attendo::nn {

struct CrossModalOptions {
  Index d_model = 0, num_heads = 0, text_dim = 0, image_dim = 0;
  double dropout = 0;
  DType dtype = DType::kFloat32;
};

struct CrossModalResult {
  Tensor text, image;                  // (B, Lt, d_model), (B, Li, d_model)
  Tensor text_weights, image_weights;  // (B, H, Lt, Li), (B, H, Li, Lt)
};

// Two modalities, each of which attends to the other.
class CrossModalAttention : public Module {
 public:
  explicit CrossModalAttention(const CrossModalOptions& o);
  // text (B, Lt, text_dim), image (B, Li, image_dim); `to_image` are the options of the text's attention to the image.
  CrossModalResult operator()(const Tensor& text, const Tensor& image, const AttentionOptions& to_image,
                              const AttentionOptions& to_text, bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "CrossModalAttention"; }
  Index num_heads() const { return o_.num_heads; }

 private:
  CrossModalOptions o_;
  std::shared_ptr<Linear> text_proj_, image_proj_;
  std::shared_ptr<MultiHeadAttention> text_attn_, image_attn_;
  std::shared_ptr<LayerNorm> text_norm_, image_norm_;
  std::shared_ptr<Dropout> text_dropout_, image_dropout_;
};

}  // namespace attendo::nn

#pragma once

#include "nn/convolution.h"
#include "nn/encoder_layer.h"

namespace attendo::models {

struct VisionTransformerOptions {
  Index image_height = 0, image_width = 0, patch_height = 0, patch_width = 0, in_channels = 3;
  Index num_layers = 0;
  Index num_classes = 0;  // 0: no classifier
  nn::LayerOptions layer{.activation = "gelu", .norm_first = true, .norm_eps = 1e-12};
  std::string pooling = "first";  // or 'mean', of the patches
  std::string pooler = "none";    // or the activation behind its layer: 'tanh'
};

struct VisionOutput {
  Tensor logits;               // (B, num_classes), undefined without a classifier
  Tensor last_hidden;          // (B, 1 + N, d): the class token and the N patches, behind the last norm
  Tensor pooled;               // (B, d)
  Tensors hidden, attentions;  // (B, 1 + N, d) and (B, H, 1 + N, 1 + N) each, when asked for
};

class VisionTransformer : public nn::Module {
 public:
  explicit VisionTransformer(const VisionTransformerOptions& o);
  // images (B, C, height, width) -> logits (B, num_classes); without a classifier what it would read, (B, d)
  Tensor operator()(const Tensor& images) {
    const VisionOutput r = outputs(images, {});
    return r.logits ? r.logits : r.pooled;
  }
  VisionOutput outputs(const Tensor& images, nn::Wanted wanted);

  Tensors forward(const Tensors& inputs) override { return {(*this)(nn::only_input("VisionTransformer", inputs))}; }
  std::string type_name() const override { return "VisionTransformer"; }
  void reset_own(Generator& generator) override;
  const VisionTransformerOptions& options() const { return o_; }
  Index patches() const { return o_.image_height / o_.patch_height * (o_.image_width / o_.patch_width); }

 private:
  VisionTransformerOptions o_;
  std::shared_ptr<nn::Conv2d> patch_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Encoder> encoder_;
  std::shared_ptr<nn::Linear> pooler_, classifier_;  // or null
};

}  // namespace attendo::models

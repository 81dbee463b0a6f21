#pragma once

#include "nn/attention.h"
#include "nn/convolution.h"
#include "nn/pooling.h"

namespace attendo::models {

struct CnnAttentionOptions {
  Index in_channels = 3, num_classes = 10, image_height = 64, image_width = 64;
  Index channels1 = 64, channels2 = 128, features = 512, attention_features = 256;
  DType dtype = DType::kFloat32;
};

class CnnAttention : public nn::Module {
 public:
  explicit CnnAttention(const CnnAttentionOptions& o);
  // images (B, C, H, W) -> out: logits (B, num_classes), weights (B, N, N) over the N = H/4 · W/4 positions
  AttentionResult operator()(const Tensor& images, bool return_weights);
  Tensors forward(const Tensors& inputs) override {
    return {(*this)(nn::only_input("CnnAttention", inputs), false).out};
  }
  std::string type_name() const override { return "CnnAttention"; }
  const CnnAttentionOptions& options() const { return o_; }

 private:
  CnnAttentionOptions o_;
  std::shared_ptr<nn::Conv2d> conv1_, conv2_;
  std::shared_ptr<nn::MaxPool2d> pool_;
  std::shared_ptr<nn::Linear> fc1_, fc_;
  std::shared_ptr<nn::Attention> attention_;
};

}  // namespace attendo::models

// Convolution as layers.
#pragma once

#include "nn/module.h"
#include "ops/window.h"

namespace attendo::nn {

// Of sequences (B, C, L).
class Conv1d : public Module {
 public:
  Conv1d(Index in_channels, Index out_channels, const Window& window, Index groups, bool bias, DType dtype);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Conv1d", inputs))}; }
  std::string type_name() const override { return "Conv1d"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  Index in_, out_, groups_;
  Window window_;
};

// Of images (B, C, H, W).
class Conv2d : public Module {
 public:
  Conv2d(Index in_channels, Index out_channels, const Window& height, const Window& width, Index groups, bool bias,
         DType dtype);
  Tensor operator()(const Tensor& x);
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input("Conv2d", inputs))}; }
  std::string type_name() const override { return "Conv2d"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  Index in_, out_, groups_;
  Window height_, width_;
};

}  // namespace attendo::nn

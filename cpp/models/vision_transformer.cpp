// Vision Transformer: an image as a sequence of patches
//
//   x = drop([c | W p_1 + b | … | W p_N + b] + P)      y = norm(the layers of x), pre-norm
//   pooled = y_0, or f(W y_0 + b), or the mean of the patches' y      logits = W pooled + b
//
// images: (B, C, height, width).  p: the N patches, row by row.  c: (d,).  P: (1 + N, d).  x, y: (B, 1 + N, d).
// The product with the patches is a convolution whose stride is its kernel.           Dosovitskiy et al. 2021, eq. 1–4.
#include "models/vision_transformer.h"

#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::models {
namespace {
constexpr const char* kOp = "VisionTransformer";
}

VisionTransformer::VisionTransformer(const VisionTransformerOptions& o) : o_(o) {
  nn::LayerOptions& layer = o_.layer;
  const std::pair<const char*, Index> positive[] = {{"image_size", std::min(o.image_height, o.image_width)},
                                                    {"patch_size", std::min(o.patch_height, o.patch_width)},
                                                    {"in_channels", o.in_channels},
                                                    {"d_model", layer.d_model},
                                                    {"num_heads", layer.num_heads},
                                                    {"dff", layer.dff}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error(kOp, ": ", name, " is ", value, " but must be 1 or more");
  }
  if (o.num_classes < 0) value_error(kOp, ": num_classes is ", o.num_classes, " but must be 1 or more");
  constexpr Index kMost = Index{1} << 20;
  if (std::max({o.image_height, o.image_width, o.in_channels}) > kMost) {
    value_error(kOp, ": image_size and in_channels must be ", kMost, " or less");
  }
  if (o.image_height % o.patch_height != 0 || o.image_width % o.patch_width != 0) {
    value_error(kOp, ": image_size is (", o.image_height, ", ", o.image_width,
                ") but must be a multiple of patch_size, (", o.patch_height, ", ", o.patch_width, ")");
  }
  if (o.pooling != "first" && o.pooling != "mean") {
    value_error(kOp, ": pooling is '", o.pooling, "' but must be 'first' or 'mean'");
  }
  if (o.pooler != "none" && o.pooler != "tanh") {
    value_error(kOp, ": pooler is '", o.pooler, "' but must be 'none' or 'tanh'");
  }
  if (o.pooler != "none" && o.pooling != "first") {
    value_error(kOp, ": pooler is '", o.pooler, "' but pooling is 'mean', which does not read the class token");
  }
  const Index d = layer.d_model;
  make_parameter("class_token", {d}, layer.dtype);
  make_parameter("position", {1 + patches(), d}, layer.dtype);
  const Window height{o.patch_height, o.patch_height}, width{o.patch_width, o.patch_width};
  patch_ = std::make_shared<nn::Conv2d>(o.in_channels, d, height, width, 1, true, layer.dtype);
  dropout_ = std::make_shared<nn::Dropout>(layer.dropout);
  encoder_ = std::make_shared<nn::Encoder>(o.num_layers, layer);
  register_module("patch", patch_);
  register_module("dropout", dropout_);
  register_module("encoder", encoder_);
  if (o.pooler != "none") {
    pooler_ = std::make_shared<nn::Linear>(d, d, true, layer.dtype);
    register_module("pooler", pooler_);
  }
  if (o.num_classes > 0) {
    classifier_ = std::make_shared<nn::Linear>(d, o.num_classes, true, layer.dtype);
    register_module("classifier", classifier_);
  }
  reset_own(generator());
}

void VisionTransformer::reset_own(Generator& generator) {
  for (const auto& [name, value] : own_parameters()) fill_normal(value, 0, 0.02, generator);
}

VisionOutput VisionTransformer::outputs(const Tensor& images, nn::Wanted wanted) {
  check_float(kOp, "images", images);
  check_rank(kOp, "images", images, 4, "(batch, channels, height, width)");
  if (images.dtype() != o_.layer.dtype) {
    type_error(kOp, ": images has dtype ", dtype_name(images.dtype()), " but the model is ",
               dtype_name(o_.layer.dtype));
  }
  if (images.dim(1) != o_.in_channels) {
    value_error(kOp, ": images has ", images.dim(1), " channels but in_channels is ", o_.in_channels);
  }
  if (images.dim(2) != o_.image_height || images.dim(3) != o_.image_width) {
    value_error(kOp, ": images are ", images.dim(2), " × ", images.dim(3), " but image_size is (", o_.image_height,
                ", ", o_.image_width, ")");
  }
  const Index batch = images.dim(0), d = o_.layer.d_model;
  const Tensor &class_token = own_parameters()[0].second, &position = own_parameters()[1].second;
  const Tensor patches = transpose(reshape((*patch_)(images), {batch, d, this->patches()}), {0, 2, 1});  // (B, N, d)
  const Tensor x = concatenate({broadcast_to(class_token, {batch, 1, d}), patches}, 1);  // (B, 1 + N, d)
  nn::StackResult r = (*encoder_)((*dropout_)(add(x, position)), {}, wanted);
  VisionOutput out;
  out.last_hidden = r.out;
  if (o_.pooling == "mean") {
    out.pooled = mean(take(r.out, 1, 1, r.out.dim(1)), std::vector<int>{1});
  } else {
    out.pooled = reshape(take(r.out, 1, 0, 1), {batch, d});
    if (pooler_) out.pooled = tanh((*pooler_)(out.pooled));
  }
  if (classifier_) out.logits = (*classifier_)(out.pooled);
  out.hidden = std::move(r.hidden), out.attentions = std::move(r.weights);
  return out;
}

}  // namespace attendo::models

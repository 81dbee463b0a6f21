// Image classifier: two convolutions, attention over the positions of their map, mean, linear
//
//   map = pool(relu(conv2(pool(relu(conv1(images))))))          (B, C2, H/4, W/4)
//   t_n = relu(fc1(map at position n))                          (B, N, features),  N = H/4 · W/4
//   a   = fc(softmax(Q Kᵀ / √d) V),  Q = t W_Qᵀ + b, …          (B, N, attention_features)
//   logits = fc(mean_n a_n)                                     (B, classes)
//
// The article flattens the map to one vector and lets the images of a batch attend to each other, so an image's answer
// depends on its neighbours. Here the positions of one image are the tokens.   Article 000 §5.2, corrected.
#include "models/cnn_attention.h"

#include "ops/activations.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::models {

CnnAttention::CnnAttention(const CnnAttentionOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {{"in_channels", o.in_channels},
                                                    {"num_classes", o.num_classes},
                                                    {"channels", std::min(o.channels1, o.channels2)},
                                                    {"features", o.features},
                                                    {"attention_features", o.attention_features}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error("CnnAttention: ", name, " is ", value, " but must be 1 or more");
  }
  if (o.image_height < 4 || o.image_width < 4) {
    value_error("CnnAttention: image_size is (", o.image_height, ", ", o.image_width,
                ") but must be at least 4: two poolings halve it");
  }
  const Window kernel{3, 1, 1}, halved{2, 2};
  conv1_ = std::make_shared<nn::Conv2d>(o.in_channels, o.channels1, kernel, kernel, 1, true, o.dtype);
  conv2_ = std::make_shared<nn::Conv2d>(o.channels1, o.channels2, kernel, kernel, 1, true, o.dtype);
  pool_ = std::make_shared<nn::MaxPool2d>(halved, halved);
  fc1_ = std::make_shared<nn::Linear>(o.channels2, o.features, true, o.dtype);
  attention_ = std::make_shared<nn::Attention>(o.features, o.attention_features, o.dtype);
  fc_ = std::make_shared<nn::Linear>(o.attention_features, o.num_classes, true, o.dtype);
  register_module("conv1", conv1_);
  register_module("conv2", conv2_);
  register_module("pool", pool_);
  register_module("fc1", fc1_);
  register_module("attention", attention_);
  register_module("fc", fc_);
}

AttentionResult CnnAttention::operator()(const Tensor& images, bool return_weights) {
  check_float("CnnAttention", "images", images);
  check_rank("CnnAttention", "images", images, 4, "(batch, channels, height, width)");
  if (images.dtype() != o_.dtype) {
    type_error("CnnAttention: images has dtype ", dtype_name(images.dtype()), " but the model is ",
               dtype_name(o_.dtype));
  }
  if (images.dim(1) != o_.in_channels) {
    value_error("CnnAttention: images has ", images.dim(1), " channels but in_channels is ", o_.in_channels);
  }
  if (images.dim(2) != o_.image_height || images.dim(3) != o_.image_width) {
    value_error("CnnAttention: images are ", images.dim(2), " × ", images.dim(3), " but image_size is (",
                o_.image_height, ", ", o_.image_width, ")");
  }
  Tensor map = (*pool_)(relu((*conv1_)(images)));
  map = (*pool_)(relu((*conv2_)(map)));                                                    // (B, C2, H/4, W/4)
  const Tensor tokens = transpose(reshape(map, {map.dim(0), map.dim(1), -1}), {0, 2, 1});  // (B, N, C2)
  AttentionResult result = (*attention_)((*fc1_)(tokens, Activation::kRelu), {}, return_weights);
  result.out = (*fc_)(mean(result.out, std::vector<int>{1}));
  return result;
}

}  // namespace attendo::models

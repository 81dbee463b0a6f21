// Classifier of a text and an image together
//
//   t_0 = E[ids] + P_t        i_0 = patches(images) W_pᵀ + b_p + P_i        (t_n, i_n) = cross-modal attention(t_{n-1}, i_{n-1})
//   logits = W relu(W_h [mean of t over the words, mean of i over the patches] + b_h) + b
//
// ids: (B, L).  t: (B, L, d).  images: (B, C, height, width).  i: (B, N, d), N patches.  Padding of the text is neither looked at
// nor averaged; a text of padding alone counts as zeros.           Lu et al. 2019; articles 000 §8.2, 003 §8.2, 004 §7.
#include "models/cross_modal_classifier.h"

#include "models/token_ids.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::models {

namespace {
constexpr const char* kOp = "CrossModalClassifier";
}

CrossModalClassifier::CrossModalClassifier(const CrossModalClassifierOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {{"vocab_size", o.vocab_size},
                                                    {"num_classes", o.num_classes},
                                                    {"max_len", o.max_len},
                                                    {"image_size", std::min(o.image_height, o.image_width)},
                                                    {"patch_size", std::min(o.patch_height, o.patch_width)},
                                                    {"in_channels", o.in_channels},
                                                    {"d_model", o.d_model},
                                                    {"num_heads", o.num_heads},
                                                    {"num_layers", o.num_layers},
                                                    {"dff", o.dff}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error(kOp, ": ", name, " is ", value, " but must be 1 or more");
  }
  if (o.num_layers > 10000) value_error(kOp, ": num_layers is ", o.num_layers, " but must be 10000 or less");
  if (o.image_height % o.patch_height != 0 || o.image_width % o.patch_width != 0) {
    value_error(kOp, ": image_size is (", o.image_height, ", ", o.image_width,
                ") but must be a multiple of patch_size, which is (", o.patch_height, ", ", o.patch_width, ")");
  }
  if (o.pad_id < 0 || o.pad_id >= o.vocab_size) {
    value_error(kOp, ": pad_id is ", o.pad_id, " but must be 0 to ", o.vocab_size - 1);
  }
  const Index d = o.d_model;
  embedding_ = std::make_shared<nn::Embedding>(o.vocab_size, d, o.pad_id, o.dtype);
  position_ = std::make_shared<nn::LearnedPositionalEncoding>(d, o.max_len, o.dtype);
  Window height{.kernel = o.patch_height, .stride = o.patch_height},
      width{.kernel = o.patch_width, .stride = o.patch_width};
  patch_ = std::make_shared<nn::Conv2d>(o.in_channels, d, height, width, 1, true, o.dtype);
  patch_position_ = std::make_shared<nn::LearnedPositionalEncoding>(d, patches(), o.dtype);
  dropout_ = std::make_shared<nn::Dropout>(o.dropout);
  std::vector<std::shared_ptr<nn::Module>> modules;
  for (Index i = 0; i < o.num_layers; ++i) {
    layers_.push_back(
        std::make_shared<nn::CrossModalAttention>(nn::CrossModalOptions{d, o.num_heads, d, d, o.dropout, o.dtype}));
    modules.push_back(layers_.back());
  }
  hidden_ = std::make_shared<nn::Linear>(2 * d, o.dff, true, o.dtype);
  classifier_ = std::make_shared<nn::Linear>(o.dff, o.num_classes, true, o.dtype);
  register_module("embedding", embedding_);
  register_module("position", position_);
  register_module("patch", patch_);
  register_module("patch_position", patch_position_);
  register_module("dropout", dropout_);
  register_module("layers", std::make_shared<nn::ModuleList>(modules));
  register_module("hidden", hidden_);
  register_module("classifier", classifier_);
}

CrossModalClassified CrossModalClassifier::operator()(const Tensor& ids, const Tensor& images, bool return_weights) {
  check_token_ids(kOp, "ids", ids, o_.vocab_size);
  check_float(kOp, "images", images);
  check_shape(kOp, "images", images, {ids.dim(0), o_.in_channels, o_.image_height, o_.image_width});
  if (images.dtype() != o_.dtype) {
    type_error(kOp, ": images has dtype ", dtype_name(images.dtype()), " but the model is ", dtype_name(o_.dtype));
  }
  const Index batch = ids.dim(0), length = ids.dim(1);
  if (length > o_.max_len) value_error(kOp, ": ids has ", length, " positions but max_len is ", o_.max_len);
  AttentionOptions to_text;
  to_text.mask = Tensor::empty({batch, 1, 1, length}, DType::kBool);
  const Tensor share = Tensor::zeros({batch, length, 1}, o_.dtype);  // of a word in the mean of its text
  dispatch_float(kOp, "images", images, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t* id = ids.data<std::int64_t>();
    for (Index b = 0; b < batch; ++b) {
      const Index words = length - std::count(id + b * length, id + (b + 1) * length, o_.pad_id);
      for (Index i = b * length; i < (b + 1) * length; ++i) {
        to_text.mask.data<bool>()[i] = id[i] != o_.pad_id;
        if (id[i] != o_.pad_id) share.data<T>()[i] = T(1) / static_cast<T>(words);
      }
    }
  });
  Tensor text = (*dropout_)((*position_)((*embedding_)(ids)));  // (B, L, d)
  const Tensor map = (*patch_)(images);                         // (B, d, height / patch, width / patch)
  Tensor image = transpose(reshape(map, {batch, o_.d_model, patches()}), {0, 2, 1});
  image = (*dropout_)((*patch_position_)(image));  // (B, N, d)
  CrossModalClassified result;
  for (const auto& layer : layers_) {
    nn::CrossModalResult r = (*layer)(text, image, {}, to_text, return_weights);
    text = r.text, image = r.image;
    if (return_weights) {
      result.text_weights.push_back(r.text_weights);
      result.image_weights.push_back(r.image_weights);
    }
  }
  const std::vector<int> positions{1};
  const Tensor both = concatenate({sum(multiply(text, share), positions), mean(image, positions)}, 1);  // (B, 2 d)
  result.logits = (*classifier_)((*dropout_)((*hidden_)(both, Activation::kRelu)));
  return result;
}

Tensors CrossModalClassifier::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error(kOp, ": ", inputs.size(), " inputs were given but it takes ids and images");
  return {(*this)(inputs[0], inputs[1], false).logits};
}

}  // namespace attendo::models

// Attention between two modalities, say a text and an image
//
//   t = text W_tᵀ + b_t                              i = image W_iᵀ + b_i
//   t' = norm(t + drop(multi_head(t, i, i)))         i' = norm(i + drop(multi_head(i, t, t)))
//
// text: (B, Lt, text_dim).  image: (B, Li, image_dim).  t, t': (B, Lt, d_model).  i, i': (B, Li, d_model).  Both attend to what
// the other was before. The gradient is that of its parts.   Lu et al. 2019, §2.2; articles 000 §8.2, 003 §8.2, 004 §7.
#include "nn/cross_modal_attention.h"

#include "core/cost.h"

namespace attendo::nn {

CrossModalAttention::CrossModalAttention(const CrossModalOptions& o) : o_(o) {
  for (const auto& [name, size] : {std::pair{"text_dim", o.text_dim}, std::pair{"image_dim", o.image_dim}}) {
    if (size < 1) value_error("CrossModalAttention: ", name, " is ", size, " but must be 1 or more");
  }
  if (o.d_model < 1 || o.num_heads < 1 || o.d_model % o.num_heads != 0) {
    value_error("CrossModalAttention: d_model is ", o.d_model, " and num_heads is ", o.num_heads,
                "; both must be positive and d_model a multiple of num_heads");
  }
  if (!(o.dropout >= 0 && o.dropout < 1))
    value_error("CrossModalAttention: dropout is ", o.dropout, " but must be 0 or more and below 1");
  text_proj_ = std::make_shared<Linear>(o.text_dim, o.d_model, true, o.dtype);
  image_proj_ = std::make_shared<Linear>(o.image_dim, o.d_model, true, o.dtype);
  text_attn_ = std::make_shared<MultiHeadAttention>(o.d_model, o.num_heads, o.dropout, true, o.dtype);
  image_attn_ = std::make_shared<MultiHeadAttention>(o.d_model, o.num_heads, o.dropout, true, o.dtype);
  text_norm_ = std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype);
  image_norm_ = std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype);
  text_dropout_ = std::make_shared<Dropout>(o.dropout);
  image_dropout_ = std::make_shared<Dropout>(o.dropout);
  register_module("text_proj", text_proj_);
  register_module("image_proj", image_proj_);
  register_module("text_attn", text_attn_);
  register_module("image_attn", image_attn_);
  register_module("text_norm", text_norm_);
  register_module("image_norm", image_norm_);
  register_module("text_dropout", text_dropout_);
  register_module("image_dropout", image_dropout_);
}

CrossModalResult CrossModalAttention::operator()(const Tensor& text, const Tensor& image,
                                                 const AttentionOptions& to_image, const AttentionOptions& to_text,
                                                 bool return_weights) {
  CostScope scope(this);
  check_input("CrossModalAttention", "text", text, 3, o_.text_dim, o_.dtype);
  check_input("CrossModalAttention", "image", image, 3, o_.image_dim, o_.dtype);
  if (text.dim(0) != image.dim(0)) {
    value_error("CrossModalAttention: image has a batch of ", image.dim(0), " but text has one of ", text.dim(0));
  }
  const Tensor t = (*text_proj_)(text), i = (*image_proj_)(image);
  const AttentionResult a = (*text_attn_)(t, i, i, to_image, return_weights);
  const AttentionResult b = (*image_attn_)(i, t, t, to_text, return_weights);
  return {scope.gives(residual_norm(t, a.out, *text_norm_, *text_dropout_).out),
          residual_norm(i, b.out, *image_norm_, *image_dropout_).out, a.weights, b.weights};
}

Tensors CrossModalAttention::forward(const Tensors& inputs) {
  if (inputs.size() != 2)
    value_error("CrossModalAttention: ", inputs.size(), " inputs were given but it takes text and image");
  const CrossModalResult r = (*this)(inputs[0], inputs[1], {}, {}, false);
  return {r.text, r.image};
}

}  // namespace attendo::nn

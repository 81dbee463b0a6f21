// Encoder classifier: the class of a whole text
//
//   y = text encoder(ids)      logits = W drop(pool(y)) + b
//   pool   first: y_0, or what the encoder's pooler makes of it    mean: of the real tokens
//          attention: Σ_t α_t y_t,  α = softmax over the real tokens of u·y_t / √d
//
// ids: (B, L).  y: (B, L, d).  u: (d,).  W: (classes, d).  logits: (B, classes).
//                                            Devlin et al. 2019, §4.1; attention: Yang et al. 2016, §2.2, without its layer.
#include "models/encoder_classifier.h"

#include "attention/scaled_dot_product.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo::models {

EncoderClassifier::EncoderClassifier(const EncoderClassifierOptions& o) : o_(o) {
  if (o.num_classes < 1) value_error("EncoderClassifier: num_classes is ", o.num_classes, " but must be 1 or more");
  if (o.pooling != "first" && o.pooling != "mean" && o.pooling != "attention") {
    value_error("EncoderClassifier: pooling is '", o.pooling, "' but must be 'first', 'mean' or 'attention'");
  }
  if (o.pooling != "first" && o.text.pooler != "none") {
    value_error("EncoderClassifier: pooler is '", o.text.pooler, "' but pooling is '", o.pooling,
                "', which does not read the first token");
  }
  const nn::LayerOptions& layer = o_.text.layer;
  text_ = std::make_shared<TextEncoder>(o.text);
  dropout_ = std::make_shared<nn::Dropout>(o.head_dropout);
  classifier_ = std::make_shared<nn::Linear>(layer.d_model, o.num_classes, true, layer.dtype);
  register_module("text", text_);
  register_module("dropout", dropout_);
  register_module("classifier", classifier_);
  if (o.pooling == "attention") make_parameter("query", {layer.d_model}, layer.dtype);
  reset_own(generator());
}

void EncoderClassifier::reset_own(Generator& generator) {
  for (const auto& [name, query] : own_parameters()) fill_normal(query, 0, 0.02, generator);
}

EncoderClassifierOutput EncoderClassifier::outputs(const TextInput& input, nn::Wanted wanted) {
  EncoderClassifierOutput out;
  out.text = text_->outputs(input, wanted);
  const Tensor& y = out.text.last_hidden;
  const Index batch = y.dim(0), length = y.dim(1), d = y.dim(2);
  Tensor pooled;
  if (o_.pooling == "first") {
    pooled = out.text.pooled ? out.text.pooled : text_->pool(y);
  } else if (o_.pooling == "mean") {
    pooled = mean_of_tokens(y, input.mask);
  } else {
    AttentionOptions options;
    if (input.mask) options.mask = reshape(input.mask, {batch, 1, 1, length});
    const Tensor query = broadcast_to(own_parameters()[0].second, {batch, 1, 1, d}),
                 keys = reshape(y, {batch, 1, length, d});
    pooled = reshape(scaled_dot_product(query, keys, keys, options, false).out, {batch, d});
  }
  out.logits = (*classifier_)((*dropout_)(pooled));
  return out;
}

}  // namespace attendo::models

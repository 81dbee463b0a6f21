// Masked language model: the tokens that were hidden, from all the others
//
//   y = text encoder(ids)      logits = norm(f(W y + b)) Eᵀ + c
//
// ids: (B, L).  y: (B, L, d).  W: (d, d).  E: (V, d), the embeddings themselves.  c: (V,).  logits: (B, L, V).
// Train on ids of which some are hidden, against the ids themselves there.     Devlin et al. 2019, §3.1.
#include "models/masked_lm.h"

#include "ops/linear.h"

namespace attendo::models {

MaskedLM::MaskedLM(const MaskedLMOptions& o)
    : o_(o),
      activation_(nn::feed_forward_kind("MaskedLM", o.head_activation).activation),
      text_(std::make_shared<TextEncoder>(o.text)) {
  if (nn::feed_forward_kind("MaskedLM", o.head_activation).gate) {
    value_error("MaskedLM: head_activation is '", o.head_activation, "' but must be without a gate");
  }
  const nn::LayerOptions& layer = o_.text.layer;
  register_module("text", text_);
  dense_ = std::make_shared<nn::Linear>(layer.d_model, layer.d_model, true, layer.dtype);
  norm_ = layer.make_norm();
  register_module("dense", dense_);
  register_module("norm", norm_.module());
  make_parameter("bias", {o.text.vocab_size}, layer.dtype);
  reset_own(generator());
}

void MaskedLM::reset_own(Generator&) {
  const Tensor& bias = own_parameters()[0].second;
  std::fill_n(bias.raw(), bias.bytes(), std::byte{0});
}

MaskedLMOutput MaskedLM::outputs(const TextInput& input, nn::Wanted wanted) {
  MaskedLMOutput out;
  out.text = text_->outputs(input, wanted);
  const Tensor h = norm_((*dense_)(out.text.last_hidden, activation_));
  out.logits = linear(h, text_->word_table(), own_parameters()[0].second);
  return out;
}

}  // namespace attendo::models

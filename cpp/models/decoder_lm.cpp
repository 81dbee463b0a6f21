// A decoder-only language model: every position predicts the token after it
//
//   x = √d E[ids] + P      y = the layers of x, attention causal      logits = y Wᵀ + b      tied: y Eᵀ
//
// ids: (B, S).  x, y: (B, S, d).  E: (V, d).  logits: (B, S, V).
// Padding behind a row's end needs no mask: no earlier position sees it. By its options it is GPT-2 (learned positions, layer
// norm first, tied) or Llama, Mistral, Qwen (rotary positions, RMS norm, SwiGLU, grouped heads, no biases).
//              Radford et al. 2018, 2019; Touvron et al. 2023; Vaswani et al. 2017, §3; tied: Press and Wolf 2017.
#include "models/decoder_lm.h"

#include <cmath>

#include "ops/arithmetic.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::models {

DecoderLM::DecoderLM(const DecoderLMOptions& o) : o_(o) {
  nn::LayerOptions& layer = o_.layer;
  const std::pair<const char*, Index> positive[] = {{"vocab_size", o.vocab_size},
                                                    {"d_model", layer.d_model},
                                                    {"num_heads", layer.num_heads},
                                                    {"max_len", o.max_len},
                                                    {"dff", layer.dff}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error("DecoderLM: ", name, " is ", value, " but must be 1 or more");
  }
  if (layer.head_dim == 0 && layer.d_model % layer.num_heads != 0) {
    value_error("DecoderLM: d_model is ", layer.d_model, " but must be a multiple of num_heads, which is ",
                layer.num_heads);
  }
  for (const Index window : o.windows) {
    if (window < 0) value_error("DecoderLM: window holds ", window, " but must hold numbers of 1 or more, 0 for none");
  }
  if (!o.windows.empty() && static_cast<Index>(o.windows.size()) != o.num_layers) {
    value_error("DecoderLM: window has ", o.windows.size(), " entries but num_layers is ", o.num_layers);
  }
  const Index d = layer.d_model;
  if (o.positions == "sinusoidal") {
    position_ = std::make_shared<nn::SinusoidalPositionalEncoding>(d, o.max_len, layer.dtype);
  } else if (o.positions == "learned") {
    position_ = std::make_shared<nn::LearnedPositionalEncoding>(d, o.max_len, layer.dtype);
  } else if (o.positions == "rotary") {
    layer.rotary = o.rotary;
  } else if (o.positions != "none") {
    value_error("DecoderLM: positions is '", o.positions, "' but must be 'sinusoidal', 'learned', 'rotary' or 'none'");
  }
  // √d E is then of the size of the positional encoding, and tied logits begin with a variance of 1.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(d));
  embedding_ = std::make_shared<nn::Embedding>(o.vocab_size, d, kNoPadding, layer.dtype, deviation);
  dropout_ = std::make_shared<nn::Dropout>(layer.dropout);
  decoder_ = std::make_shared<nn::Encoder>(o.num_layers, layer, o.windows);
  register_module("embedding", embedding_);
  if (position_) register_module("position", position_);
  register_module("dropout", dropout_);
  register_module("decoder", decoder_);
  if (!o.tie_weights) {
    generator_ = std::make_shared<nn::Linear>(d, o.vocab_size, o.head_bias, layer.dtype);
    register_module("generator", generator_);
  }
}

void DecoderLM::check_ids(const Tensor& ids) const {
  check_rank("DecoderLM", "ids", ids, 2, "(batch, length)");
  if (ids.dtype() != DType::kInt64) {
    type_error("DecoderLM: ids has dtype ", dtype_name(ids.dtype()), " but must be int64 token ids");
  }
  if (ids.dim(1) > o_.max_len) value_error("DecoderLM: ids has ", ids.dim(1), " positions but max_len is ", o_.max_len);
  const std::int64_t* id = ids.data<std::int64_t>();
  for (Index i = 0; i < ids.size(); ++i) {
    if (id[i] < 0 || id[i] >= o_.vocab_size) {
      value_error("DecoderLM: ids holds ", id[i], " but must hold 0 to ", o_.vocab_size - 1);
    }
  }
}

Tensor DecoderLM::embed(const Tensor& ids, Index offset) {
  Tensor x = (*embedding_)(ids);
  if (o_.scale_embeddings) x = scale(x, std::sqrt(static_cast<double>(o_.layer.d_model)));
  return (*dropout_)(position_ ? (*position_)(x, offset) : x);
}

Tensor DecoderLM::logits(const Tensor& x) {
  return generator_ ? (*generator_)(x) : linear(x, embedding_->weight(), Tensor());
}

AttentionOptions DecoderLM::causal() const {
  AttentionOptions options;
  options.causal = true;
  return options;
}

LMOutput DecoderLM::outputs(const Tensor& ids, nn::Wanted wanted) {
  check_ids(ids);
  nn::StackResult r = (*decoder_)(embed(ids, 0), causal(), wanted);
  if (wanted.hidden) r.hidden.back() = r.out;  // the last one is behind the last norm, as it is for the logits
  return {logits(r.out), r.out, std::move(r.hidden), std::move(r.weights)};
}

Tensor DecoderLM::generate(const Tensor& ids, Index max_new_tokens, const std::function<void()>& interrupted) {
  check_ids(ids);
  const Index batch = ids.dim(0), start = ids.dim(1);
  if (start < 1) value_error("generate: ids has no positions but must have 1 or more");
  if (max_new_tokens < 0 || max_new_tokens > o_.max_len - start) {
    value_error("generate: max_new_tokens is ", max_new_tokens, " but must be 0 to ", o_.max_len - start,
                ": max_len is ", o_.max_len, " and ids has ", start, " positions");
  }
  const NoGrad no_grad;
  const Index length = start + max_new_tokens;
  Tensor out = Tensor::empty({batch, length}, DType::kInt64);
  auto* row = out.data<std::int64_t>();
  for (Index b = 0; b < batch; ++b) std::copy_n(ids.data<std::int64_t>() + b * start, start, row + b * length);
  std::vector<KVCache> caches = decoder_->start(length);
  Tensor tokens = ids;  // all of the given ones first, then each new one
  Index before = 0;
  while (before + tokens.dim(1) < length) {
    interrupted();
    const Index count = tokens.dim(1);
    const Tensor x = decoder_->step(embed(tokens, before), caches, causal());
    before += count;
    tokens = argmax_last(
        logits(slice(x, {{0, batch, 1, false}, {count - 1, count, 1, false}, {0, o_.layer.d_model, 1, false}})));
    for (Index b = 0; b < batch; ++b) row[b * length + before] = tokens.data<std::int64_t>()[b];
  }
  return out;
}

}  // namespace attendo::models

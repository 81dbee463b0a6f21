// A decoder-only language model: every position predicts the token after it
//
//   x = √d E[ids] + P      y = the layers of x, attention causal      logits = y Wᵀ + b      tied: y Eᵀ
//
// ids: (B, S).  x, y: (B, S, d).  E: (V, d).  logits: (B, S, V).
// Padding behind a row's end needs no mask: no earlier position sees it. By its options it is GPT-2 (learned positions, layer
// norm first, tied) or Llama, Mistral, Qwen (rotary positions, RMS norm, SwiGLU, grouped heads, no biases).
//              Radford et al. 2018, 2019; Touvron et al. 2023; Vaswani et al. 2017, §3; tied: Press and Wolf 2017.
#include "models/decoder_lm.h"

#include <algorithm>
#include <cmath>

#include "models/token_ids.h"
#include "ops/arithmetic.h"
#include "ops/linear.h"

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
  check_token_ids("DecoderLM", "ids", ids, o_.vocab_size, o_.max_len);
}

// offsets: the position of each row's first token; empty: 0.
Tensor DecoderLM::embed(const Tensor& ids, const std::vector<Index>& offsets) {
  Tensor x = (*embedding_)(ids);
  if (o_.scale_embeddings) x = scale(x, std::sqrt(static_cast<double>(o_.layer.d_model)));
  return (*dropout_)(position_ ? (*position_)(x, offsets) : x);
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
  nn::StackResult r = (*decoder_)(embed(ids), causal(), wanted);
  if (wanted.hidden) r.hidden.back() = r.out;  // the last one is behind the last norm, as it is for the logits
  return {logits(r.out), r.out, std::move(r.hidden), std::move(r.weights)};
}

namespace {
constexpr Index kMostRoom = 4096;  // for new tokens at once: a sequence may end long before
}  // namespace

class DecoderLM::State : public DecodeState {
 public:
  State(DecoderLM& model, Index batch, Index room)
      : model_(model), caches_(model.decoder_->start(room)), lengths_(static_cast<size_t>(batch), 0) {}

  Tensor step(const Tensor& ids, const std::vector<Index>& counts) override {
    const NoGrad no_grad;
    const nn::ModeGuard evaluation(model_, false);
    model_.check_ids(ids);
    const Tensor x = model_.decoder_->step(model_.embed(ids, lengths_), caches_, model_.causal(), count_tensor(counts));
    for (size_t r = 0; r < lengths_.size(); ++r) lengths_[r] += counts.empty() ? ids.dim(1) : counts[r];
    return model_.logits(last_rows(x, counts));
  }

  void reorder(const std::vector<Index>& rows) override {
    for (KVCache& cache : caches_) cache.reorder(rows);
    lengths_ = taken(lengths_, rows);
  }

  Index vocab_size() const override { return model_.o_.vocab_size; }

 private:
  DecoderLM& model_;
  std::vector<KVCache> caches_;
  std::vector<Index> lengths_;
};

std::unique_ptr<DecodeState> DecoderLM::begin(const Prompts& prompts, const DecodeOptions& options) {
  check_ids(prompts.ids);
  const Index start = prompts.ids.dim(1);
  if (options.max_new_tokens > o_.max_len - start) {
    value_error(options.op, ": max_new_tokens is ", options.max_new_tokens, " but must be 0 to ", o_.max_len - start,
                ": max_len is ", o_.max_len, " and ids has ", start, " positions");
  }
  const Index room = start + std::clamp<Index>(options.max_new_tokens, 0, kMostRoom);
  return std::make_unique<State>(*this, prompts.batch(), room);
}

}  // namespace attendo::models

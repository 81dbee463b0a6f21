// The Transformer: encoder, decoder, and a linear layer to the target vocabulary
//
//   memory = encoder(√d E_src[src] + P)      logits = decoder(√d E_tgt[tgt] + P, memory) Wᵀ + b
//
// src: (B, S).  tgt: (B, T), beginning with bos.  logits: (B, T, V): position t predicts token t + 1.
// Padding of src is never attended to; tgt is causal, so its padding behind a row's end needs no mask.
//
// With positions 't5' nothing is added to the embeddings; all layers of a stack add one bias, trained for each head and bucket
// of distances, to the scores of self-attention. tied: W = E_tgt.  scale_logits: W / √d.
//
// By its options it is T5 (positions 't5', RMS norm first, scores unscaled, no biases, one embedding) and Marian (one
// embedding, tied, a bias of the logits, sines before cosines).
//                             Vaswani et al. 2017; Raffel et al. 2020; Junczys-Dowmunt et al. 2018; article 002 §5.2.
#include "models/transformer.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "attention/t5_bias.h"
#include "models/token_ids.h"
#include "ops/arithmetic.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace attendo::models {
namespace {

constexpr Index kMostRoom = 256;  // for new tokens at once: a sequence may end long before

void check_heads(const char* name, Index heads, const nn::LayerOptions& layer) {
  if (layer.head_dim == 0 && layer.d_model % heads != 0) {
    value_error("Transformer: d_model is ", layer.d_model, " but must be a multiple of ", name, ", which is ", heads);
  }
}

}  // namespace

nn::LayerOptions TransformerOptions::decoder_layer() const {
  nn::LayerOptions decoder = layer;
  if (decoder_nhead > 0) decoder.num_heads = decoder_nhead;
  if (decoder_dff > 0) decoder.dff = decoder_dff;
  return decoder;
}

Transformer::Transformer(const TransformerOptions& o) : o_(o) {
  const nn::LayerOptions& layer = o.layer;
  const Index d = layer.d_model;
  const std::pair<const char*, Index> positive[] = {{"d_model", d},
                                                    {"nhead", layer.num_heads},
                                                    {"dff", layer.dff},
                                                    {"input_vocab_size", o.input_vocab_size},
                                                    {"target_vocab_size", o.target_vocab_size},
                                                    {"max_len", o.max_len}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error("Transformer: ", name, " is ", value, " but must be 1 or more");
  }
  check_heads("nhead", layer.num_heads, layer);
  if (o.decoder_nhead > 0) check_heads("decoder_nhead", o.decoder_nhead, layer);
  if (o.pad_id < 0 || o.pad_id >= std::min(o.input_vocab_size, o.target_vocab_size)) {
    value_error("Transformer: pad_id is ", o.pad_id, " but must be an id of both vocabularies");
  }
  if (o.shared_embeddings && o.input_vocab_size != o.target_vocab_size) {
    value_error("Transformer: target_vocab_size is ", o.target_vocab_size, " but input_vocab_size is ",
                o.input_vocab_size, ", and with shared_embeddings both must be the same");
  }
  // √d E is then of the size of the positional encoding; with N(0, 1) it would drown the positions.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(d));
  auto make_embedding = [&](const char* name, Index vocabulary) {
    const Index padding = o.embed_padding ? kNoPadding : o.pad_id;
    auto embedding = std::make_shared<nn::Embedding>(vocabulary, d, padding, layer.dtype, deviation);
    register_module(name, embedding);
    return embedding;
  };
  src_.embedding = make_embedding(o.shared_embeddings ? "embedding" : "src_embedding", o.input_vocab_size);
  tgt_.embedding = o.shared_embeddings ? src_.embedding : make_embedding("tgt_embedding", o.target_vocab_size);
  tgt_.bidirectional = false;
  if (o.positions == "sinusoidal" || o.positions == "sinusoidal_halves") {
    src_.position = tgt_.position = std::make_shared<nn::SinusoidalPositionalEncoding>(
        d, o.max_len, layer.dtype, o.positions == "sinusoidal_halves");
    register_module("position", src_.position);
  } else if (o.positions == "learned") {
    src_.position = std::make_shared<nn::LearnedPositionalEncoding>(d, o.max_len, layer.dtype);
    tgt_.position = std::make_shared<nn::LearnedPositionalEncoding>(d, o.max_len, layer.dtype);
    register_module("src_position", src_.position);
    register_module("tgt_position", tgt_.position);
  } else if (o.positions == "t5") {
    T5Buckets{o.num_buckets, o.max_distance, true}.check("Transformer");
    T5Buckets{o.num_buckets, o.max_distance, false}.check("Transformer");
    src_.relative_bias = "src_relative_bias", tgt_.relative_bias = "tgt_relative_bias";
    make_parameter(src_.relative_bias, {o.num_buckets, layer.num_heads}, layer.dtype);
    make_parameter(tgt_.relative_bias, {o.num_buckets, o.decoder_layer().num_heads}, layer.dtype);
  } else if (o.positions != "none") {
    value_error("Transformer: positions is '", o.positions,
                "' but must be 'sinusoidal', 'sinusoidal_halves', 'learned', 't5' or 'none'");
  }
  dropout_ = std::make_shared<nn::Dropout>(layer.dropout);
  encoder_ = std::make_shared<nn::Encoder>(o.num_encoder_layers, layer);
  decoder_ = std::make_shared<nn::Decoder>(o.num_decoder_layers, o.decoder_layer());
  register_module("dropout", dropout_);
  register_module("encoder", encoder_);
  register_module("decoder", decoder_);
  if (!o.tie_weights) {
    generator_ = std::make_shared<nn::Linear>(d, o.target_vocab_size, o.has_head_bias(), layer.dtype);
    register_module("generator", generator_);
  } else if (o.has_head_bias()) {
    make_parameter("logits_bias", {o.target_vocab_size}, layer.dtype);
  }
  reset_own(generator());
}

void Transformer::reset_own(Generator& generator) {
  const double deviation = 1.0 / std::sqrt(static_cast<double>(o_.layer.d_model));
  for (const auto& [name, value] : own_parameters()) {
    if (name == "logits_bias") {
      std::fill_n(value.raw(), value.bytes(), std::byte{0});
    } else {
      fill_normal(value, 0, deviation, generator);
    }
  }
}

const Tensor& Transformer::own(const char* name) const {
  const auto& all = own_parameters();
  return std::find_if(all.begin(), all.end(), [&](const NamedTensor& one) { return one.first == name; })->second;
}

void Transformer::check_ids(const char* name, const Tensor& ids, Index vocabulary) const {
  check_token_ids("Transformer", name, ids, vocabulary, o_.max_len);
}

Transformer::Source Transformer::source(const Tensor& src, const Tensor& src_mask, bool trim) const {
  const Index batch = src.dim(0), length = src.dim(1);
  const Tensor real = Tensor::empty({batch, length}, DType::kBool);
  bool* is_real = real.data<bool>();
  if (src_mask) {
    if (src_mask.dtype() != DType::kBool) {
      type_error("Transformer: src_mask has dtype ", dtype_name(src_mask.dtype()),
                 " but must be bool: True for a token, False for padding");
    }
    if (!(src_mask.shape() == src.shape())) {
      value_error("Transformer: src_mask has shape ", src_mask.shape(), " but src has shape ", src.shape());
    }
    std::copy_n(src_mask.data<bool>(), batch * length, is_real);
  } else {
    const std::int64_t* id = src.data<std::int64_t>();
    for (Index i = 0; i < batch * length; ++i) is_real[i] = id[i] != o_.pad_id;
  }
  Source s;
  s.ids = src;
  s.lengths = Tensor::zeros({batch}, DType::kInt64);
  bool holes = false;
  Index longest = 0;
  for (Index b = 0; b < batch; ++b) {
    Index end = length;
    while (end > 0 && !is_real[b * length + end - 1]) --end;
    for (Index j = 0; j < end; ++j) holes = holes || !is_real[b * length + j];
    s.lengths.data<std::int64_t>()[b] = end;
    longest = std::max(longest, end);
  }
  if (holes) s.mask = reshape(real, {batch, 1, 1, length});
  if (trim && longest < length) {
    s.ids = take(src, 1, 0, longest);
    if (s.mask) s.mask = take(s.mask, 3, 0, longest);
  }
  return s;
}

AttentionOptions Transformer::Source::options() const {
  AttentionOptions options;
  options.key_lengths = lengths;
  options.mask = mask;
  return options;
}

Tensor Transformer::embed(const Input& in, const Tensor& ids, Index offset) {
  Tensor x = (*in.embedding)(ids);
  if (o_.scale_embeddings) x = scale(x, std::sqrt(static_cast<double>(o_.layer.d_model)));
  return (*dropout_)(in.position ? (*in.position)(x, offset) : x);
}

// `options`, and what the positions offset … offset + length - 1 add to their scores with all positions up to there.
AttentionOptions Transformer::self_options(const Input& in, AttentionOptions options, Index offset,
                                           Index length) const {
  if (in.relative_bias != nullptr) {
    options.bias = t5_bias(own(in.relative_bias), length, offset + length, offset,
                           {o_.num_buckets, o_.max_distance, in.bidirectional});
  }
  return options;
}

Tensor Transformer::logits(const Tensor& x) const {
  const Tensor y = o_.scale_logits ? scale(x, 1.0 / std::sqrt(static_cast<double>(o_.layer.d_model))) : x;
  if (generator_) return (*generator_)(y);
  return linear(y, tgt_.embedding->weight(), o_.has_head_bias() ? own("logits_bias") : Tensor());
}

nn::StackResult Transformer::encode(const Source& s, nn::Wanted wanted) {
  nn::StackResult r = (*encoder_)(embed(src_, s.ids, 0), self_options(src_, s.options(), 0, s.ids.dim(1)), wanted);
  if (wanted.hidden) r.hidden.back() = r.out;
  return r;
}

TransformerOutput Transformer::run(const Tensor& src, const Tensor& tgt, const Tensor& src_mask, bool trim,
                                   nn::Wanted wanted) {
  check_ids("src", src, o_.input_vocab_size);
  check_ids("tgt", tgt, o_.target_vocab_size);
  if (src.dim(0) != tgt.dim(0))
    value_error("Transformer: tgt has a batch of ", tgt.dim(0), " but src has one of ", src.dim(0));
  const Source s = source(src, src_mask, trim);
  AttentionOptions causal;
  causal.causal = true;
  TransformerOutput result;
  result.encoder = encode(s, wanted);
  nn::StackResult& r = result.decoder;
  r = (*decoder_)(embed(tgt_, tgt, 0), result.encoder.out, self_options(tgt_, causal, 0, tgt.dim(1)), s.options(),
                  wanted);
  if (wanted.hidden) r.hidden.back() = r.out;
  result.logits = logits(r.out);
  return result;
}

Tensor Transformer::operator()(const Tensor& src, const Tensor& tgt, const Tensor& src_mask) {
  return run(src, tgt, src_mask, true, {}).logits;
}

TransformerOutput Transformer::outputs(const Tensor& src, const Tensor& tgt, const Tensor& src_mask,
                                       nn::Wanted wanted) {
  return run(src, tgt, src_mask, false, wanted);
}

Tensor Transformer::encode(const Tensor& src, const Tensor& src_mask) {
  check_ids("src", src, o_.input_vocab_size);
  // Not trimmed: the memory has a row for each position that was given.
  return encode(source(src, src_mask, false), {}).out;
}

class Transformer::State : public DecodeState {
 public:
  State(Transformer& model, const Tensor& src, const Tensor& src_mask, Index room) : model_(model) {
    const NoGrad no_grad;
    const nn::ModeGuard evaluation(model_, false);
    source_ = model_.source(src, src_mask, true);
    caches_ = model_.decoder_->start(model_.encode(source_, {}).out, room);
    for (Index b = 0; b < src.dim(0); ++b) entries_.push_back(b);
  }

  Tensor step(const Tensor& ids, const std::vector<Index>& counts) override {
    const NoGrad no_grad;
    const nn::ModeGuard evaluation(model_, false);
    const Tensor x = model_.decoder_->step(model_.embed(model_.tgt_, ids, length_), caches_, source_.options(),
                                           model_.self_options(model_.tgt_, {}, length_, ids.dim(1)));
    length_ += ids.dim(1);
    return model_.logits(last_rows(x, counts));
  }

  void reorder(const std::vector<Index>& rows) override {
    for (nn::LayerCache& cache : caches_) cache.self.reorder(rows);
    std::vector<Index> entries = taken(entries_, rows);
    if (entries == entries_) return;  // beams that changed places within their entry
    entries_ = std::move(entries);
    for (nn::LayerCache& cache : caches_) cache.memory = taken(cache.memory, rows);
    source_.lengths = taken(source_.lengths, rows);
    if (source_.mask) source_.mask = taken(source_.mask, rows);
  }

  Index vocab_size() const override { return model_.o_.target_vocab_size; }

 private:
  Transformer& model_;
  Source source_;
  std::vector<nn::LayerCache> caches_;
  std::vector<Index> entries_;  // of the batch: whose memory each row attends to
  Index length_ = 0;
};

std::unique_ptr<DecodeState> Transformer::begin(const Tensor& src, const Tensor& src_mask, Index bos_id,
                                                const DecodeOptions& options) {
  check_ids("src", src, o_.input_vocab_size);
  if (bos_id < 0 || bos_id >= o_.target_vocab_size) {
    value_error(options.op, ": bos_id is ", bos_id, " but must be 0 to ", o_.target_vocab_size - 1);
  }
  if (options.max_new_tokens < 1 || options.max_new_tokens > o_.max_len) {
    const bool named_as_others = std::string_view(options.op) == "generate";
    value_error(options.op, ": ", named_as_others ? "max_new_tokens" : "max_len", " is ", options.max_new_tokens,
                " but must be 1 to ", o_.max_len);
  }
  return std::make_unique<State>(*this, src, src_mask, std::min(options.max_new_tokens, kMostRoom));
}

Tensors Transformer::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error("Transformer: ", inputs.size(), " inputs were given but it takes src and tgt");
  return {(*this)(inputs[0], inputs[1])};
}

}  // namespace attendo::models

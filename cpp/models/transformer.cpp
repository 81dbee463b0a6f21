// The Transformer: encoder, decoder, and a linear layer to the target vocabulary
//
//   memory = encoder(√d E_src[src] + P)      logits = decoder(√d E_tgt[tgt] + P, memory) Wᵀ + b
//
// src: (B, S).  tgt: (B, T), beginning with bos.  logits: (B, T, V): position t predicts token t + 1.
// Padding of src is never attended to; tgt is causal, so its padding behind a row's end needs no mask.
//                                                                            Vaswani et al. 2017; article 002 §5.2.
#include "models/transformer.h"

#include <cmath>

#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::models {

Transformer::Transformer(const TransformerOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {{"d_model", o.d_model},
                                                    {"nhead", o.nhead},
                                                    {"dff", o.dff},
                                                    {"input_vocab_size", o.input_vocab_size},
                                                    {"target_vocab_size", o.target_vocab_size},
                                                    {"max_len", o.max_len}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error("Transformer: ", name, " is ", value, " but must be 1 or more");
  }
  if (o.d_model % o.nhead != 0) {
    value_error("Transformer: d_model is ", o.d_model, " but must be a multiple of nhead, which is ", o.nhead);
  }
  if (o.pad_id < 0 || o.pad_id >= std::min(o.input_vocab_size, o.target_vocab_size)) {
    value_error("Transformer: pad_id is ", o.pad_id, " but must be an id of both vocabularies");
  }
  const nn::LayerOptions layer{o.d_model, o.nhead, o.dff, o.dropout, o.activation, o.norm_first, o.dtype};
  // √d E is then of the size of the positional encoding; with N(0, 1) it would drown the positions.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(o.d_model));
  src_embedding_ = std::make_shared<nn::Embedding>(o.input_vocab_size, o.d_model, o.pad_id, o.dtype, deviation);
  tgt_embedding_ = std::make_shared<nn::Embedding>(o.target_vocab_size, o.d_model, o.pad_id, o.dtype, deviation);
  position_ = std::make_shared<nn::SinusoidalPositionalEncoding>(o.d_model, o.max_len, o.dtype);
  dropout_ = std::make_shared<nn::Dropout>(o.dropout);
  encoder_ = std::make_shared<nn::Encoder>(o.num_encoder_layers, layer);
  decoder_ = std::make_shared<nn::Decoder>(o.num_decoder_layers, layer);
  generator_ = std::make_shared<nn::Linear>(o.d_model, o.target_vocab_size, true, o.dtype);
  register_module("src_embedding", src_embedding_);
  register_module("tgt_embedding", tgt_embedding_);
  register_module("position", position_);
  register_module("dropout", dropout_);
  register_module("encoder", encoder_);
  register_module("decoder", decoder_);
  register_module("generator", generator_);
}

void Transformer::check_ids(const char* name, const Tensor& ids, Index vocabulary) const {
  check_rank("Transformer", name, ids, 2, "(batch, length)");
  if (ids.dtype() != DType::kInt64) {
    type_error("Transformer: ", name, " has dtype ", dtype_name(ids.dtype()), " but must be int64 token ids");
  }
  if (ids.dim(1) > o_.max_len)
    value_error("Transformer: ", name, " has ", ids.dim(1), " positions but max_len is ", o_.max_len);
  const std::int64_t* id = ids.data<std::int64_t>();
  for (Index i = 0; i < ids.size(); ++i) {
    if (id[i] < 0 || id[i] >= vocabulary) {
      value_error("Transformer: ", name, " holds ", id[i], " but must hold 0 to ", vocabulary - 1);
    }
  }
}

Transformer::Source Transformer::source(const Tensor& src, bool trim) const {
  const Index batch = src.dim(0), length = src.dim(1);
  const std::int64_t* id = src.data<std::int64_t>();
  Source s;
  s.ids = src;
  s.lengths = Tensor::zeros({batch}, DType::kInt64);
  bool holes = false;
  Index longest = 0;
  for (Index b = 0; b < batch; ++b) {
    Index end = length;
    while (end > 0 && id[b * length + end - 1] == o_.pad_id) --end;
    for (Index j = 0; j < end; ++j) holes = holes || id[b * length + j] == o_.pad_id;
    s.lengths.data<std::int64_t>()[b] = end;
    longest = std::max(longest, end);
  }
  if (holes) {
    s.mask = Tensor::empty({batch, 1, 1, length}, DType::kBool);
    for (Index i = 0; i < batch * length; ++i) s.mask.data<bool>()[i] = id[i] != o_.pad_id;
  }
  if (trim && longest < length) {
    s.ids = slice(src, {{0, batch, 1, false}, {0, longest, 1, false}});
    if (s.mask)
      s.mask = slice(s.mask, {{0, batch, 1, false}, {0, 1, 1, false}, {0, 1, 1, false}, {0, longest, 1, false}});
  }
  return s;
}

AttentionOptions Transformer::source_options(const Source& s) const {
  AttentionOptions options;
  options.key_lengths = s.lengths;
  options.mask = s.mask;
  return options;
}

Tensor Transformer::embed(nn::Embedding& table, const Tensor& ids, Index offset) {
  const Tensor x = scale(table(ids), std::sqrt(static_cast<double>(o_.d_model)));
  return (*dropout_)((*position_)(x, offset));
}

nn::StackResult Transformer::run(const Tensor& src, const Tensor& tgt, bool trim, bool return_weights) {
  check_ids("src", src, o_.input_vocab_size);
  check_ids("tgt", tgt, o_.target_vocab_size);
  if (src.dim(0) != tgt.dim(0))
    value_error("Transformer: tgt has a batch of ", tgt.dim(0), " but src has one of ", src.dim(0));
  const Source s = source(src, trim);
  AttentionOptions causal, options = source_options(s);
  causal.causal = true;
  const Tensor memory = (*encoder_)(embed(*src_embedding_, s.ids, 0), options, false).out;
  nn::StackResult result = (*decoder_)(embed(*tgt_embedding_, tgt, 0), memory, causal, options, return_weights);
  result.out = (*generator_)(result.out);
  return result;
}

Tensor Transformer::operator()(const Tensor& src, const Tensor& tgt) { return run(src, tgt, true, false).out; }

nn::StackResult Transformer::with_attention(const Tensor& src, const Tensor& tgt) { return run(src, tgt, false, true); }

Tensor Transformer::encode(const Tensor& src) {
  check_ids("src", src, o_.input_vocab_size);
  // Not trimmed: the memory has a row for each position that was given.
  return (*encoder_)(embed(*src_embedding_, src, 0), source_options(source(src, false)), false).out;
}

Tensor Transformer::translate(const Tensor& src, Index bos_id, Index eos_id, Index max_len,
                              const std::function<void()>& interrupted) {
  check_ids("src", src, o_.input_vocab_size);
  const std::pair<const char*, Index> special[] = {{"bos_id", bos_id}, {"eos_id", eos_id}};
  for (const auto& [name, id] : special) {
    if (id < 0 || id >= o_.target_vocab_size) {
      value_error("translate: ", name, " is ", id, " but must be 0 to ", o_.target_vocab_size - 1);
    }
  }
  if (max_len < 1 || max_len > o_.max_len)
    value_error("translate: max_len is ", max_len, " but must be 1 to ", o_.max_len);
  const NoGrad no_grad;
  const Index batch = src.dim(0);
  const Source s = source(src, true);
  const AttentionOptions options = source_options(s);
  const Tensor memory = (*encoder_)(embed(*src_embedding_, s.ids, 0), options, false).out;
  std::vector<nn::LayerCache> caches = decoder_->start(memory, max_len);
  Tensor out = Tensor::full({batch, max_len}, DType::kInt64, static_cast<double>(o_.pad_id));
  Tensor token = Tensor::full({batch, 1}, DType::kInt64, static_cast<double>(bos_id));
  std::vector<bool> finished(static_cast<size_t>(batch), false);
  Index open = batch, steps = 0;
  for (; steps < max_len && open > 0; ++steps) {
    interrupted();
    const Tensor x = decoder_->step(embed(*tgt_embedding_, token, steps), caches, options);
    const Tensor best = argmax_last((*generator_)(x));  // (B, 1)
    token = Tensor::empty({batch, 1}, DType::kInt64);
    for (Index b = 0; b < batch; ++b) {
      const std::int64_t id = finished[static_cast<size_t>(b)] ? o_.pad_id : best.data<std::int64_t>()[b];
      token.data<std::int64_t>()[b] = id;
      out.data<std::int64_t>()[b * max_len + steps] = id;
      if (!finished[static_cast<size_t>(b)] && id == eos_id) {
        finished[static_cast<size_t>(b)] = true;
        --open;
      }
    }
  }
  return slice(out, {{0, batch, 1, false}, {0, steps, 1, false}});
}

Tensors Transformer::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error("Transformer: ", inputs.size(), " inputs were given but it takes src and tgt");
  return {(*this)(inputs[0], inputs[1])};
}

}  // namespace attendo::models

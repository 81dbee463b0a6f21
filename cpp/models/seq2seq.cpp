// A recurrent encoder, and a recurrent decoder that attends to it
//
//   m_1 … m_S = encoder(E_src[src])        s_0 = the encoder's last states; of two directions tanh(W_h [→; ←] + b_h), c: without tanh
//   bahdanau   c_t = attend(s_{t-1}, m)    s_t = cell([e_t; c_t], s_{t-1})     h̃_t = tanh(W_r [c_t; s_t; e_t])
//   luong      s_t = cell(e_t, s_{t-1})    c_t = attend(s_t, m)                h̃_t = tanh(W_r [c_t; s_t])
//              with input feeding s_t = cell([e_t; h̃_{t-1}], s_{t-1}), h̃_0 = 0
//   attend(s, m) = Σ_j softmax_j(score) m_j      additive, concat: v_aᵀ tanh(W_q s + W_k m_j)   general: s·W_k m_j   dot: s·m_j
//   logits_t = W h̃_t + b                        e_t = E_tgt[tgt_t]; a query is the state of the last layer
//
// src: (B, S).  tgt: (B, T), beginning with bos.  logits: (B, T, V): position t predicts token t + 1.
// Padding of src, wherever it stands, is as if it were not there. The keys W_k m are made once, and without feeding back a call of the decoder and one of attention do all steps.
//                             Bahdanau et al. 2015, §3, A.1.2 (h̃ in place of maxout); Luong et al. 2015, §3.1, 3.3; article 004 §3.
#include "models/seq2seq.h"

#include "models/token_ids.h"
#include "ops/activations.h"
#include "ops/shape.h"

namespace attendo::models {

Seq2Seq::Seq2Seq(const Seq2SeqOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {{"input_vocab_size", o.input_vocab_size},
                                                    {"target_vocab_size", o.target_vocab_size},
                                                    {"embedding_dim", o.embedding_dim},
                                                    {"hidden_size", o.hidden_size},
                                                    {"num_layers", o.num_layers}};
  for (const auto& [name, value] : positive) {
    if (value < 1 || value > kMaxElements) value_error("Seq2Seq: ", name, " is ", value, " but must be 1 to 2^46");
  }
  if (o.cell != "lstm" && o.cell != "gru") value_error("Seq2Seq: cell is '", o.cell, "' but must be 'lstm' or 'gru'");
  if (o.attention != "bahdanau" && o.attention != "luong") {
    value_error("Seq2Seq: attention is '", o.attention, "' but must be 'bahdanau' or 'luong'");
  }
  if (o.score.empty()) o_.score = is_luong() ? "general" : "additive";
  if (!is_luong() && o_.score != "additive") {
    value_error("Seq2Seq: score is '", o.score, "' but attention='bahdanau' has 'additive' only");
  }
  if (is_luong() && o_.score != "dot" && o_.score != "general" && o_.score != "concat") {
    value_error("Seq2Seq: score is '", o.score, "' but must be 'dot', 'general' or 'concat'");
  }
  if (o_.score == "dot" && o.bidirectional) {
    value_error(
        "Seq2Seq: score='dot' needs states as wide as the memory, which bidirectional=True makes twice as wide");
  }
  if (o.input_feeding && !is_luong()) {
    value_error("Seq2Seq: input_feeding is for attention='luong'; 'bahdanau' feeds the context back already");
  }
  if (o.pad_id < 0 || o.pad_id >= std::min(o.input_vocab_size, o.target_vocab_size)) {
    value_error("Seq2Seq: pad_id is ", o.pad_id, " but must be an id of both vocabularies");
  }
  const Index hidden = o.hidden_size, width = hidden * (o.bidirectional ? 2 : 1);
  src_embedding_ = std::make_shared<nn::Embedding>(o.input_vocab_size, o.embedding_dim, o.pad_id, o.dtype);
  tgt_embedding_ = std::make_shared<nn::Embedding>(o.target_vocab_size, o.embedding_dim, o.pad_id, o.dtype);
  dropout_ = std::make_shared<nn::Dropout>(o.dropout);
  encoder_ = recurrent(o.embedding_dim, o.bidirectional);
  decoder_ = recurrent(o.embedding_dim + (o.input_feeding ? hidden : is_luong() ? 0 : width), false);
  register_module("src_embedding", src_embedding_);
  register_module("tgt_embedding", tgt_embedding_);
  register_module("dropout", dropout_);
  register_module("encoder", encoder_);
  register_module("decoder", decoder_);
  auto add_linear = [&](const char* name, std::shared_ptr<nn::Linear>& linear, Index in, Index out, bool bias) {
    linear = std::make_shared<nn::Linear>(in, out, bias, o.dtype);
    register_module(name, linear);
  };
  if (o.bidirectional) add_linear("bridge_h", bridge_h_, width, hidden, true);
  if (o.bidirectional && o.cell == "lstm") add_linear("bridge_c", bridge_c_, width, hidden, true);
  if (is_additive()) {
    add_linear("query", query_, hidden, hidden, false);
    make_parameter("v_a", {hidden}, o.dtype);
  }
  if (o_.score != "dot") add_linear("key", key_, width, hidden, false);
  add_linear("readout", readout_, width + hidden + (is_luong() ? 0 : o.embedding_dim), hidden, false);
  add_linear("generator", generator_, hidden, o.target_vocab_size, true);
  reset_own(generator());
}

void Seq2Seq::reset_own(Generator& generator) {
  if (is_additive()) nn::init_uniform(own_parameters()[0].second, o_.hidden_size, generator);
}

std::shared_ptr<nn::Recurrent> Seq2Seq::recurrent(Index input_size, bool bidirectional) const {
  nn::RecurrentOptions options{input_size, o_.hidden_size, o_.num_layers};
  options.dropout = o_.dropout, options.bidirectional = bidirectional, options.dtype = o_.dtype;
  if (o_.cell == "lstm") return std::make_shared<nn::LSTM>(options);
  return std::make_shared<nn::GRU>(options, true);
}

Seq2Seq::State Seq2Seq::encode(const Tensor& src) {
  check_token_ids("Seq2Seq", "src", src, o_.input_vocab_size);
  State s;
  s.source = without_padding(src, o_.pad_id);
  const nn::RecurrentResult r = (*encoder_)((*dropout_)((*src_embedding_)(s.source.ids)), {}, {}, s.source.lengths);
  s.memory = r.out;
  s.keys = key_ ? (*key_)(r.out) : r.out;

  s.h = r.h_n, s.c = r.c_n;
  if (o_.bidirectional) {  // (layers · 2, B, hidden) -> (layers, B, 2 · hidden)
    const Index batch = src.dim(0), hidden = o_.hidden_size;
    auto joined = [&](const Tensor& states) {
      const Tensor pairs = transpose(reshape(states, {o_.num_layers, 2, batch, hidden}), {0, 2, 1, 3});
      return reshape(pairs, {o_.num_layers, batch, 2 * hidden});
    };
    s.h = tanh((*bridge_h_)(joined(r.h_n)));
    if (bridge_c_) s.c = (*bridge_c_)(joined(r.c_n));
  }
  if (o_.input_feeding) s.fed = Tensor::zeros({src.dim(0), 1, o_.hidden_size}, o_.dtype);
  return s;
}

// states (B, L, hidden) -> contexts (B, L, ·)
AttentionResult Seq2Seq::attend(const Tensor& states, const State& s, bool return_weights) {
  Score score;
  score.kind = is_additive() ? Score::kAdditive : Score::kDot;
  if (is_additive()) score.params = {own_parameters()[0].second};
  AttentionOptions options;
  options.key_lengths = s.source.lengths;
  return attend_one_head(query_ ? (*query_)(states) : states, s.keys, s.memory, score, options, return_weights);
}

// embedded (B, L, embedding_dim) -> readouts (B, L, hidden), weights (B, L, S). L is 1 where steps feed back.
AttentionResult Seq2Seq::decode(const Tensor& embedded, State& s, bool return_weights) {
  AttentionResult attended;
  Tensor in = embedded;
  if (!is_luong()) {
    const Tensor last = take(s.h, 0, o_.num_layers - 1, o_.num_layers);
    attended = attend(reshape(last, {embedded.dim(0), 1, o_.hidden_size}), s, return_weights);
    in = concatenate({embedded, attended.out}, 2);
  } else if (o_.input_feeding) {
    in = concatenate({embedded, s.fed}, 2);
  }
  const nn::RecurrentResult r = (*decoder_)(in, s.h, s.c, {});
  s.h = r.h_n, s.c = r.c_n;
  if (is_luong()) attended = attend(r.out, s, return_weights);
  Tensors parts{attended.out, r.out};
  if (!is_luong()) parts.push_back(embedded);
  attended.out = tanh((*readout_)(concatenate(parts, 2)));
  if (o_.input_feeding) s.fed = attended.out;
  return attended;
}

AttentionResult Seq2Seq::run(const Tensor& src, const Tensor& tgt, bool return_weights) {
  check_token_ids("Seq2Seq", "tgt", tgt, o_.target_vocab_size);
  State s = encode(src);
  if (src.dim(0) != tgt.dim(0))
    value_error("Seq2Seq: tgt has a batch of ", tgt.dim(0), " but src has one of ", src.dim(0));
  const Tensor embedded = (*dropout_)((*tgt_embedding_)(tgt));
  AttentionResult result;
  if (!steps_feed_back() || tgt.dim(1) == 1) {
    result = decode(embedded, s, return_weights);
  } else {
    Tensors outs, weights;
    for (Index t = 0; t < tgt.dim(1); ++t) {
      const AttentionResult one = decode(take(embedded, 1, t, t + 1), s, return_weights);
      outs.push_back(one.out);
      if (return_weights) weights.push_back(one.weights);
    }
    const Shape none{src.dim(0), 0, o_.hidden_size};
    result.out = outs.empty() ? Tensor::zeros(none, o_.dtype) : concatenate(outs, 1);
    if (return_weights) {
      result.weights =
          weights.empty() ? Tensor::zeros({src.dim(0), 0, s.memory.dim(1)}, o_.dtype) : concatenate(weights, 1);
    }
  }
  result.out = (*generator_)((*dropout_)(result.out));
  if (return_weights) result.weights = swap_axes(s.source.put_back(swap_axes(result.weights, 1, 2)), 1, 2);
  return result;
}

Tensor Seq2Seq::operator()(const Tensor& src, const Tensor& tgt) { return run(src, tgt, false).out; }

Tensor Seq2Seq::cross_attention(const Tensor& src, const Tensor& tgt) {
  const NoGrad no_grad;
  return run(src, tgt, true).weights;
}

class Seq2Seq::Decoding : public DecodeState {
 public:
  Decoding(Seq2Seq& model, const Tensor& src) : model_(model), state_(model.encode(src)) {}

  Tensor step(const Tensor& ids, const std::vector<Index>&) override {
    const NoGrad no_grad;
    const nn::ModeGuard mode(model_, false);
    Tensor out;
    for (Index t = 0; t < ids.dim(1); ++t) {
      out = model_.decode((*model_.tgt_embedding_)(take(ids, 1, t, t + 1)), state_, false).out;
    }
    return (*model_.generator_)(reshape(out, {ids.dim(0), model_.o_.hidden_size}));
  }

  void reorder(const std::vector<Index>& rows) override {
    State& s = state_;
    s.memory = chosen(s.memory, 0, rows), s.keys = chosen(s.keys, 0, rows);
    s.source.lengths = chosen(s.source.lengths, 0, rows);
    s.h = chosen(s.h, 1, rows), s.c = chosen(s.c, 1, rows), s.fed = chosen(s.fed, 0, rows);
  }

  Index vocab_size() const override { return model_.o_.target_vocab_size; }

 private:
  // Entry i of the axis is what was entry rows[i].
  static Tensor chosen(const Tensor& x, int axis, const std::vector<Index>& rows) {
    if (!x) return x;
    Shape shape = x.shape();
    const Index before = shape.product(0, axis), from = shape[axis], count = static_cast<Index>(rows.size());
    shape[axis] = count;
    const Tensor out = Tensor::empty(shape, x.dtype());
    const size_t bytes = x.size() == 0 ? 0 : x.bytes() / static_cast<size_t>(before * from);
    for (Index i = 0; i < before * count; ++i) {
      const Index row = i / count * from + rows[static_cast<size_t>(i % count)];
      std::copy_n(x.raw() + static_cast<size_t>(row) * bytes, bytes, out.raw() + static_cast<size_t>(i) * bytes);
    }
    return out;
  }

  Seq2Seq& model_;
  State state_;
};

std::unique_ptr<DecodeState> Seq2Seq::begin(const Tensor& src, Index bos_id, const DecodeOptions& options) {
  if (bos_id < 0 || bos_id >= o_.target_vocab_size) {
    value_error(options.op, ": bos_id is ", bos_id, " but must be 0 to ", o_.target_vocab_size - 1);
  }
  const NoGrad no_grad;
  const nn::ModeGuard mode(*this, false);
  return std::make_unique<Decoding>(*this, src);
}

Tensors Seq2Seq::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error("Seq2Seq: ", inputs.size(), " inputs were given but it takes src and tgt");
  return {(*this)(inputs[0], inputs[1])};
}

}  // namespace attendo::models

// Text classifier: embedding, LSTM, attention over time, linear
//
//   h_1 … h_L = lstm(E[ids])               (B, L, hidden), of two directions (B, L, 2 · hidden)
//   s_t = uᵀ tanh(W h_t + b)      α = softmax over the tokens of s      c = Σ_t α_t h_t
//   logits = W_fc c + b_fc                 (B, classes)
//
// ids: (B, L).  Padding, wherever it stands, is as if it were not there; a row without tokens has c = 0.
// The article's Attention layer is given one input and leaves (B, L, ·), which its Dense layer turns into an answer a token.
//                                         Yang et al. 2016, §2.2; Bahdanau et al. 2015, §A.1.2; article 004 §5.3.2, corrected.
#include "models/lstm_attention.h"

#include "models/token_ids.h"
#include "ops/shape.h"

namespace attendo::models {

LstmAttention::LstmAttention(const LstmAttentionOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {
      {"vocab_size", o.vocab_size},   {"num_classes", o.num_classes}, {"embedding_dim", o.embedding_dim},
      {"hidden_size", o.hidden_size}, {"num_layers", o.num_layers},   {"attention_features", o.attention_features}};
  for (const auto& [name, value] : positive) {
    if (value < 1 || value > kMaxElements) {
      value_error("LstmAttention: ", name, " is ", value, " but must be 1 to 2^46");
    }
  }
  if (o.pad_id < 0 || o.pad_id >= o.vocab_size) {
    value_error("LstmAttention: pad_id is ", o.pad_id, " but must be 0 to ", o.vocab_size - 1);
  }
  const Index width = o.hidden_size * (o.bidirectional ? 2 : 1);
  embedding_ = std::make_shared<nn::Embedding>(o.vocab_size, o.embedding_dim, o.pad_id, o.dtype);
  dropout_ = std::make_shared<nn::Dropout>(o.dropout);
  nn::RecurrentOptions recurrent{o.embedding_dim, o.hidden_size, o.num_layers};
  recurrent.dropout = o.dropout, recurrent.bidirectional = o.bidirectional, recurrent.dtype = o.dtype;
  lstm_ = std::make_shared<nn::LSTM>(recurrent);
  attention_ = std::make_shared<nn::AdditivePooling>(width, o.attention_features, o.dtype);
  fc_ = std::make_shared<nn::Linear>(width, o.num_classes, true, o.dtype);
  register_module("embedding", embedding_);
  register_module("dropout", dropout_);
  register_module("lstm", lstm_);
  register_module("attention", attention_);
  register_module("fc", fc_);
}

void LstmAttention::check_lengths(const Tensor& ids, const Tensor& lengths) const {
  if (lengths.dtype() != DType::kInt64) {
    type_error("LstmAttention: lengths has dtype ", dtype_name(lengths.dtype()), " but must be int64");
  }
  check_shape("LstmAttention", "lengths", lengths, {ids.dim(0)});
  for (Index b = 0; b < ids.dim(0); ++b) {
    const std::int64_t length = lengths.data<std::int64_t>()[b];
    if (length < 0 || length > ids.dim(1)) {
      value_error("LstmAttention: lengths holds ", length, " but must hold 0 to ", ids.dim(1), ", the length of ids");
    }
  }
}

AttentionResult LstmAttention::operator()(const Tensor& ids, const Tensor& lengths, bool return_weights) {
  check_token_ids("LstmAttention", "ids", ids, o_.vocab_size);
  if (lengths) check_lengths(ids, lengths);
  const Tokens tokens = lengths ? Tokens{ids, lengths, ids.dim(1), {}} : without_padding(ids, o_.pad_id);
  const Tensor states = (*lstm_)((*dropout_)((*embedding_)(tokens.ids)), {}, {}, tokens.lengths).out;
  AttentionOptions options;
  options.key_lengths = tokens.lengths;
  AttentionResult result = (*attention_)(states, options, return_weights);
  result.out = (*fc_)((*dropout_)(result.out));
  if (return_weights && !lengths) {
    result.weights = tokens.put_back(reshape(result.weights, {ids.dim(0), states.dim(1), 1}));
    result.weights = reshape(result.weights, ids.shape());
  }
  return result;
}

Tensors LstmAttention::forward(const Tensors& inputs) {
  if (inputs.empty() || inputs.size() > 2) {
    value_error("LstmAttention: ", inputs.size(), " inputs were given but it takes ids and perhaps lengths");
  }
  return {(*this)(inputs[0], inputs.size() > 1 ? inputs[1] : Tensor(), false).out};
}

}  // namespace attendo::models

// Text encoder, the trunk of BERT: every token as a vector that knows of all others
//
//   x = drop(norm(E[ids] + P[positions] + T[types]))     y = the layers of x, attention to all real tokens
//   pooled = f(W y_0 + b)
//
// ids, types: (B, L).  E: (V, d).  P: (max_len, d).  T: (types, d).  x, y: (B, L, d).  f: tanh, relu.
// Padding is attended to by none, and its rows of y are zeros. Without the tape, the layers run on the real tokens alone, one
// sequence after the other. DistilBERT has no T and no pooler; RoBERTa's positions begin behind that of padding.
//                                                             Devlin et al. 2019, §3; Liu et al. 2019; Sanh et al. 2019.
#include "models/text_encoder.h"

#include "attention/mask_rule.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::models {
namespace {

constexpr const char* kOp = "TextEncoder";

bool any_padding(const Tensor& mask) {
  if (!mask) return false;
  const bool *real = mask.data<bool>(), *end = real + mask.size();
  return std::find(real, end, false) != end;
}

// Where the real tokens of a batch stand, in order, and of which row each is: int64 (N,).
struct RealTokens {
  Tensor at, row;
};
RealTokens real_tokens(const Tensor& mask) {
  const bool* real = mask.data<bool>();
  const Index count = std::count(real, real + mask.size(), true), length = mask.dim(1);
  const RealTokens r{Tensor::empty({count}, DType::kInt64), Tensor::empty({count}, DType::kInt64)};
  for (Index i = 0, n = 0; i < mask.size(); ++i) {
    if (real[i]) r.at.data<std::int64_t>()[n] = i, r.row.data<std::int64_t>()[n++] = i / length;
  }
  return r;
}

Tensor taken(const Tensor& values, const Tensor& at) {  // of int64 (B, L), as one sequence
  if (!values) return values;
  const Tensor out = Tensor::empty({1, at.size()}, DType::kInt64);
  for (Index n = 0; n < at.size(); ++n) {
    out.data<std::int64_t>()[n] = values.data<std::int64_t>()[at.data<std::int64_t>()[n]];
  }
  return out;
}

Tensor zeros_at_padding(const Tensor& x, const Tensor& mask) {  // x (B, L, d)
  const Tensor place = Tensor::empty({mask.size()}, DType::kInt64);
  for (Index i = 0; i < mask.size(); ++i) place.data<std::int64_t>()[i] = mask.data<bool>()[i] ? i : -1;
  return reshape(gather_rows(reshape(x, {mask.size(), x.dim(2)}), place), x.shape());
}

// Keys from the end of a row on are padding where it stands at the ends, which is cheaper than a mask.
AttentionOptions attention_to(const Tensor& mask) {
  AttentionOptions options;
  const Index batch = mask.dim(0), length = mask.dim(1);
  const Tensor lengths = Tensor::empty({batch}, DType::kInt64);
  for (Index b = 0; b < batch; ++b) {
    const bool* row = mask.data<bool>() + b * length;
    const Index real = std::find(row, row + length, false) - row;
    if (std::find(row + real, row + length, true) != row + length) {
      options.mask = reshape(mask, {batch, 1, 1, length});
      return options;
    }
    lengths.data<std::int64_t>()[b] = real;
  }
  options.key_lengths = lengths;
  return options;
}

}  // namespace

TextInput text_input(const char* model, const Tensors& inputs) {
  if (inputs.empty() || inputs.size() > 3) {
    value_error(model, ": ", inputs.size(), " inputs were given but it takes ids, mask and token_types");
  }
  auto at = [&](size_t i) { return i < inputs.size() ? inputs[i] : Tensor(); };
  return {at(0), at(1), at(2)};
}

TextEncoder::TextEncoder(const TextEncoderOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {{"vocab_size", o.vocab_size},
                                                    {"d_model", o.layer.d_model},
                                                    {"num_heads", o.layer.num_heads},
                                                    {"max_len", o.max_len},
                                                    {"dff", o.layer.dff}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error(kOp, ": ", name, " is ", value, " but must be 1 or more");
  }
  if (o.type_vocab_size < 0) value_error(kOp, ": type_vocab_size is ", o.type_vocab_size, " but must be 0 or more");
  if (o.pad_id && (*o.pad_id < 0 || *o.pad_id >= std::min(o.vocab_size, o.max_len - 1))) {
    value_error(kOp, ": pad_id is ", *o.pad_id, " but must be 0 to ", std::min(o.vocab_size, o.max_len - 1) - 1,
                ": an id, and a position with room behind it");
  }
  const Index d = o.layer.d_model;
  const DType dtype = o.layer.dtype;
  if (o.positions == "sinusoidal") {
    position_ = std::make_shared<nn::SinusoidalPositionalEncoding>(d, o.max_len, dtype);
  } else if (o.positions == "learned") {
    position_ = std::make_shared<nn::LearnedPositionalEncoding>(d, o.max_len, dtype);
  } else if (o.positions != "none") {
    value_error(kOp, ": positions is '", o.positions, "' but must be 'learned', 'sinusoidal' or 'none'");
  }
  if (o.pooler != "none" && o.pooler != "tanh" && o.pooler != "relu") {
    value_error(kOp, ": pooler is '", o.pooler, "' but must be 'none', 'tanh' or 'relu'");
  }
  embedding_ = std::make_shared<nn::Embedding>(o.vocab_size, d, kNoPadding, dtype, 0.02);
  norm_ = o.layer.make_norm();
  dropout_ = std::make_shared<nn::Dropout>(o.layer.dropout);
  encoder_ = std::make_shared<nn::Encoder>(o.num_layers, o.layer);
  register_module("embedding", embedding_);
  if (position_) register_module("position", position_);
  if (o.type_vocab_size > 0) {
    token_type_ = std::make_shared<nn::Embedding>(o.type_vocab_size, d, kNoPadding, dtype, 0.02);
    register_module("token_type", token_type_);
  }
  register_module("norm", norm_.module());
  register_module("dropout", dropout_);
  register_module("encoder", encoder_);
  if (o.pooler != "none") {
    pooler_ = std::make_shared<nn::Linear>(d, d, true, dtype);
    register_module("pooler", pooler_);
  }
}

void TextEncoder::check(const TextInput& input) const {
  check_rank(kOp, "ids", input.ids, 2, "(batch, length)");
  check_ids(kOp, "ids", input.ids, o_.vocab_size, "the vocabulary");
  const Index length = input.ids.dim(1), room = o_.max_len - (o_.pad_id ? *o_.pad_id + 1 : 0);
  if (length > room && !o_.pad_id) value_error(kOp, ": ids has ", length, " positions but max_len is ", o_.max_len);
  if (input.mask) {
    if (input.mask.dtype() != DType::kBool) {
      type_error(kOp, ": mask has dtype ", dtype_name(input.mask.dtype()), " but must be bool (True = a real token)");
    }
    if (!(input.mask.shape() == input.ids.shape())) {
      value_error(kOp, ": mask has shape ", input.mask.shape(), " but must have that of ids, ", input.ids.shape());
    }
  }
  if (input.token_types) {
    if (!token_type_) value_error(kOp, ": token_types was given but the model has none (type_vocab_size=)");
    check_ids(kOp, "token_types", input.token_types, o_.type_vocab_size, "the table of types");
    if (!(input.token_types.shape() == input.ids.shape())) {
      value_error(kOp, ": token_types has shape ", input.token_types.shape(), " but must have that of ids, ",
                  input.ids.shape());
    }
  }
}

// int64 (B, L)
Tensor TextEncoder::positions_of(const Tensor& ids) const {
  const Tensor positions = Tensor::empty(ids.shape(), DType::kInt64);
  const Index length = ids.dim(1);
  const std::int64_t* id = ids.data<std::int64_t>();
  std::int64_t *at = positions.data<std::int64_t>(), last = 0;
  for (Index i = 0; i < ids.size(); ++i) {
    if (i % length == 0) last = o_.pad_id.value_or(-1);
    at[i] = o_.pad_id == id[i] ? *o_.pad_id : ++last;
    if (last >= o_.max_len) {
      value_error(kOp, ": ids has a row of more than ", o_.max_len - *o_.pad_id - 1, " tokens but max_len is ",
                  o_.max_len, " and positions begin at ", *o_.pad_id + 1);
    }
  }
  return positions;
}

Tensor TextEncoder::embed(const Tensor& ids, const Tensor& positions, const Tensor& token_types) {
  Tensor x = (*embedding_)(ids);
  if (token_type_) x = add(x, (*token_type_)(token_types ? token_types : Tensor::zeros({1, 1}, DType::kInt64)));
  if (position_) x = add(x, embedding(positions, position_->table(o_.max_len)));
  return (*dropout_)(norm_(x));
}

TextOutput TextEncoder::outputs(const TextInput& input, nn::Wanted wanted) {
  check(input);
  const Index batch = input.ids.dim(0), length = input.ids.dim(1), d = o_.layer.d_model;
  const Tensor positions = positions_of(input.ids);
  const bool padded = any_padding(input.mask);
  TextOutput out;
  if (padded && !training() && !grad_enabled() && !wanted.weights && !wanted.hidden) {
    const RealTokens real = real_tokens(input.mask);
    const Tensor x = embed(taken(input.ids, real.at), taken(positions, real.at), taken(input.token_types, real.at));
    AttentionOptions options;
    const Index count = real.at.size();
    MaskExpression::documents(real.row).lower(options, kOp, {1, 1, count, count, 0});
    const Tensor y = (*encoder_)(x, options, wanted).out;  // (1, N, d)
    out.last_hidden = reshape(scatter_rows(reshape(y, {count, d}), real.at, batch * length), {batch, length, d});
  } else {
    nn::StackResult r = (*encoder_)(embed(input.ids, positions, input.token_types),
                                    padded ? attention_to(input.mask) : AttentionOptions(), wanted);
    out.last_hidden = padded ? zeros_at_padding(r.out, input.mask) : r.out;
    if (wanted.hidden) r.hidden.back() = out.last_hidden;
    out.hidden = std::move(r.hidden), out.attentions = std::move(r.weights);
  }
  if (pooler_) out.pooled = pool(out.last_hidden);
  return out;
}

Tensor TextEncoder::pool(const Tensor& last_hidden) {
  if (last_hidden.dim(1) < 1) value_error(kOp, ": ids has no positions but the pooler reads the first");
  const Tensor first =
      slice(last_hidden, {{0, last_hidden.dim(0), 1, false}, {0, 1, 1, true}, {0, o_.layer.d_model, 1, false}});
  if (!pooler_) return first;
  return o_.pooler == "relu" ? relu((*pooler_)(first)) : tanh((*pooler_)(first));
}

Tensor mean_of_tokens(const Tensor& hidden, const Tensor& mask) {
  const Index batch = hidden.dim(0), length = hidden.dim(1);
  const Tensor share = Tensor::empty({batch, 1}, DType::kFloat64);
  for (Index b = 0; b < batch; ++b) {
    const bool* row = mask ? mask.data<bool>() + b * length : nullptr;
    const Index real = row == nullptr ? length : std::count(row, row + length, true);
    share.data<double>()[b] = 1.0 / static_cast<double>(std::max<Index>(1, real));
  }
  return multiply(sum(hidden, std::vector<int>{1}), share.to(hidden.dtype()));
}

}  // namespace attendo::models

// Transformer-XL: a language model that reads a text segment by segment and remembers the ones before
//
//   h_0 = √d E[ids]        h_n = layer_n(h_{n-1}, m_n)        logits = h_N Wᵀ + b        tied: h_N Eᵀ
//   m_n' = SG(the last memory_length rows of [m_n, h_{n-1}])    the memory of layer n for the next segment
//
// A layer is that of the Transformer, its attention looking at [m_n, h_{n-1}] by distance, causally. No position is added: only
// distances count. ids: (B, L).  h: (B, L, d).  m: (B, M, d).  Training goes back no further than its segment.
//                                                                                        Dai et al. 2019; article 002 §7.3.
#include "models/transformer_xl.h"

#include <cmath>

#include "attention/segment_recurrence.h"
#include "models/token_ids.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace attendo::models {

TransformerXLLayer::TransformerXLLayer(const TransformerXLOptions& o)
    : norm_first_(o.norm_first),
      self_attn_(std::make_shared<nn::RelativeMultiHeadAttention>(o.d_model, o.num_heads, o.dropout, false, o.dtype)),
      feed_forward_(std::make_shared<nn::FeedForward>(o.d_model, o.dff, o.dropout, o.activation, o.dtype)),
      norm1_("layer", o.d_model, 1e-5, o.dtype),
      norm2_("layer", o.d_model, 1e-5, o.dtype),
      dropout1_(std::make_shared<nn::Dropout>(o.dropout)),
      dropout2_(std::make_shared<nn::Dropout>(o.dropout)) {
  register_module("self_attn", self_attn_);
  register_module("feed_forward", feed_forward_);
  register_module("norm1", norm1_.module());
  register_module("norm2", norm2_.module());
  register_module("dropout1", dropout1_);
  register_module("dropout2", dropout2_);
}

AttentionResult TransformerXLLayer::operator()(const Tensor& x, const Tensor& memory, bool return_weights) {
  AttentionOptions causal;
  causal.causal = true;
  AttentionResult result;
  if (norm_first_) {
    const Tensor extended = norm1_(segment_recurrence(x, memory, 0).extended);
    result = self_attn_->attend(extended, x.dim(1), causal, return_weights);
    const ResidualNorm a = norm2_(x, result.out, *dropout1_, true);
    result.out = add(a.sum, (*dropout2_)((*feed_forward_)(a.out)));
  } else {
    result = (*self_attn_)(x, memory, causal, return_weights);
    const Tensor a = norm1_(x, result.out, *dropout1_).out;
    result.out = norm2_(a, (*feed_forward_)(a), *dropout2_).out;
  }
  return result;
}

Tensors TransformerXLLayer::forward(const Tensors& inputs) {
  if (inputs.empty() || inputs.size() > 2)
    value_error("TransformerXLLayer: ", inputs.size(), " inputs were given but it takes x and its memory");
  return {(*this)(inputs[0], inputs.size() > 1 ? inputs[1] : Tensor(), false).out};
}

TransformerXL::TransformerXL(const TransformerXLOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {
      {"vocab_size", o.vocab_size}, {"d_model", o.d_model}, {"num_heads", o.num_heads}, {"dff", o.dff}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error("TransformerXL: ", name, " is ", value, " but must be 1 or more");
  }
  if (o.memory_length < 0) value_error("TransformerXL: memory_length is ", o.memory_length, " but must be 0 or more");
  if (o.num_layers < 0 || o.num_layers > 10000)
    value_error("TransformerXL: num_layers is ", o.num_layers, " but must be 0 to 10000");
  // Tied logits begin with a variance of 1, as does √d E.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(o.d_model));
  embedding_ = std::make_shared<nn::Embedding>(o.vocab_size, o.d_model, kNoPadding, o.dtype, deviation);
  dropout_ = std::make_shared<nn::Dropout>(o.dropout);
  std::vector<std::shared_ptr<nn::Module>> modules;
  for (Index i = 0; i < o.num_layers; ++i) {
    layers_.push_back(std::make_shared<TransformerXLLayer>(o));
    modules.push_back(layers_.back());
  }
  register_module("embedding", embedding_);
  register_module("dropout", dropout_);
  register_module("layers", std::make_shared<nn::ModuleList>(modules));
  if (o.norm_first) {
    norm_ = nn::BlockNorm("layer", o.d_model, 1e-5, o.dtype);
    register_module("norm", norm_.module());
  }
  if (!o.tie_weights) {
    generator_ = std::make_shared<nn::Linear>(o.d_model, o.vocab_size, true, o.dtype);
    register_module("generator", generator_);
  }
}

SegmentResult TransformerXL::segment(const Tensor& ids, const Tensors& memory, bool return_weights) {
  check_token_ids("TransformerXL", "ids", ids, o_.vocab_size);
  if (!memory.empty() && static_cast<Index>(memory.size()) != o_.num_layers) {
    value_error("TransformerXL: memory has ", memory.size(), " arrays but there are ", o_.num_layers, " layers");
  }
  for (const Tensor& m : memory) {
    nn::check_input("TransformerXL", "memory", m, 3, o_.d_model, o_.dtype);
    if (m.dim(0) != ids.dim(0)) {
      value_error("TransformerXL: memory has a batch of ", m.dim(0), " but ids has one of ", ids.dim(0));
    }
  }
  SegmentResult result;
  Tensor x = (*dropout_)(scale((*embedding_)(ids), std::sqrt(static_cast<double>(o_.d_model))));
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Tensor before = memory.empty() ? Tensor() : memory[i];
    result.memory.push_back(segment_recurrence(x, before, o_.memory_length).memory);
    const AttentionResult r = (*layers_[i])(x, before, return_weights);
    if (return_weights) result.weights.push_back(r.weights);
    x = r.out;
  }
  if (norm_) x = norm_(x);
  result.logits = generator_ ? (*generator_)(x) : linear(x, embedding_->weight(), Tensor());
  return result;
}

namespace {

// A prompt is one segment, every token after it one more.
class TransformerXLState : public DecodeState {
 public:
  explicit TransformerXLState(TransformerXL& model) : model_(model) {}

  Tensor step(const Tensor& ids, const std::vector<Index>& counts) override {
    for (const Index n : counts) {
      if (n == ids.dim(1)) continue;
      value_error(
          "generate: prompts of unequal lengths cannot share the memory of a TransformerXL: give one at a time");
    }
    const NoGrad no_grad;
    const nn::ModeGuard evaluation(model_, false);
    SegmentResult r = model_.segment(ids, memory_, false);
    memory_ = std::move(r.memory);
    return last_rows(r.logits, {});
  }
  void reorder(const std::vector<Index>& rows) override {
    for (Tensor& m : memory_) m = taken(m, rows);
  }
  Index vocab_size() const override { return model_.options().vocab_size; }

 private:
  TransformerXL& model_;
  Tensors memory_;
};

}  // namespace

std::unique_ptr<DecodeState> TransformerXL::begin() { return std::make_unique<TransformerXLState>(*this); }

}  // namespace attendo::models

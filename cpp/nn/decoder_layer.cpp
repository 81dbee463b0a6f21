// Decoder layer: causal self-attention, attention to the encoder's output (the memory), a feed-forward network
//
//   post-norm   a = norm1(x + drop(self(x)))       b = norm2(a + drop(cross(a, memory)))       y = norm3(b + drop(ffn(b)))
//   pre-norm    a = x + drop(self(norm1(x)))       b = a + drop(cross(norm2(a), memory))       y = b + drop(ffn(norm3(b)))
//
// x, y: (B, T, d_model).  memory: (B, S, d_model).   Vaswani et al. 2017, §3.1; article 003 §5.2.
#include "nn/decoder_layer.h"

#include "core/cost.h"
#include "ops/arithmetic.h"

namespace attendo::nn {
namespace {

// Query and memory count their positions apart: nothing to turn.
MultiHeadOptions cross_attention(const LayerOptions& o) {
  MultiHeadOptions a = o.attention();
  a.rotary.reset();
  return a;
}

}  // namespace

DecoderLayer::DecoderLayer(const LayerOptions& o)
    : norm_first_(o.norm_first),
      self_attn_(std::make_shared<MultiHeadAttention>(o.attention())),
      cross_attn_(std::make_shared<MultiHeadAttention>(cross_attention(o))),
      feed_forward_(std::make_shared<FeedForward>(o.d_model, o.dff, o.dropout, o.activation, o.dtype, o.bias)),
      norm1_(o.make_norm()),
      norm2_(o.make_norm()),
      norm3_(o.make_norm()),
      dropout1_(std::make_shared<Dropout>(o.dropout)),
      dropout2_(std::make_shared<Dropout>(o.dropout)),
      dropout3_(std::make_shared<Dropout>(o.dropout)) {
  register_module("self_attn", self_attn_);
  register_module("cross_attn", cross_attn_);
  register_module("feed_forward", feed_forward_);
  register_module("norm1", norm1_.module());
  register_module("norm2", norm2_.module());
  register_module("norm3", norm3_.module());
  register_module("dropout1", dropout1_);
  register_module("dropout2", dropout2_);
  register_module("dropout3", dropout3_);
}

DecoderLayer::Result DecoderLayer::operator()(const Tensor& x, const Tensor& memory,
                                              const AttentionOptions& self_options,
                                              const AttentionOptions& cross_options, bool return_weights) {
  CostScope scope(this);
  const DType dtype = self_attn_->dtype();
  check_input("DecoderLayer", "x", x, 3, self_attn_->d_model(), dtype);
  check_input("DecoderLayer", "memory", memory, 3, self_attn_->d_model(), dtype);
  AttentionResult self, cross;
  Tensor y;
  if (norm_first_) {
    const Tensor n = norm1_(x);
    self = (*self_attn_)(n, n, n, self_options, return_weights);
    const ResidualNorm a = norm2_(x, self.out, *dropout1_, true);
    cross = (*cross_attn_)(a.out, memory, memory, cross_options, return_weights);
    const ResidualNorm b = norm3_(a.sum, cross.out, *dropout2_, true);
    y = add(b.sum, (*dropout3_)((*feed_forward_)(b.out)));
  } else {
    self = (*self_attn_)(x, x, x, self_options, return_weights);
    const Tensor a = norm1_(x, self.out, *dropout1_).out;
    cross = (*cross_attn_)(a, memory, memory, cross_options, return_weights);
    const Tensor b = norm2_(a, cross.out, *dropout2_).out;
    y = norm3_(b, (*feed_forward_)(b), *dropout3_).out;
  }
  return {scope.gives(y), self.weights, cross.weights};
}

LayerCache DecoderLayer::start(const Tensor& memory, Index capacity) const {
  return {KVCache(capacity), cross_attn_->project_memory(memory)};
}

Tensor DecoderLayer::step(const Tensor& x, LayerCache& cache, const AttentionOptions& cross_options,
                          const AttentionOptions& self_options) {
  if (norm_first_) {
    const Tensor a = add(x, self_attn_->step(norm1_(x), cache.self, self_options));
    const Tensor b = add(a, cross_attn_->attend_memory(norm2_(a), cache.memory, cross_options));
    return add(b, (*feed_forward_)(norm3_(b)));
  }
  const Tensor a = norm1_(add(x, self_attn_->step(x, cache.self, self_options)));
  const Tensor b = norm2_(add(a, cross_attn_->attend_memory(a, cache.memory, cross_options)));
  return norm3_(add(b, (*feed_forward_)(b)));
}

Tensors DecoderLayer::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error("DecoderLayer: ", inputs.size(), " inputs were given but it takes x and memory");
  AttentionOptions causal;
  causal.causal = true;
  return {(*this)(inputs[0], inputs[1], causal, {}, false).out};
}

Decoder::Decoder(Index num_layers, const LayerOptions& o) {
  check_num_layers("Decoder", num_layers);
  std::vector<std::shared_ptr<Module>> modules;
  for (Index i = 0; i < num_layers; ++i) {
    layers_.push_back(std::make_shared<DecoderLayer>(o));
    modules.push_back(layers_.back());
  }
  register_module("layers", std::make_shared<ModuleList>(modules));
  if (o.norm_first) {
    norm_ = o.make_norm();
    register_module("norm", norm_.module());
  }
}

StackResult Decoder::operator()(const Tensor& x, const Tensor& memory, const AttentionOptions& self_options,
                                const AttentionOptions& cross_options, Wanted wanted) {
  CostScope scope(this);
  StackResult result;
  result.out = x;
  for (const auto& layer : layers_) {
    if (wanted.hidden) result.hidden.push_back(result.out);
    DecoderLayer::Result one = (*layer)(result.out, memory, self_options, cross_options, wanted.weights);
    result.out = one.out;
    if (wanted.weights) {
      result.weights.push_back(one.weights);
      result.cross_weights.push_back(one.cross_weights);
    }
  }
  if (wanted.hidden) result.hidden.push_back(result.out);
  if (norm_) result.out = norm_(result.out);
  scope.gives(result.out);
  return result;
}

std::vector<LayerCache> Decoder::start(const Tensor& memory, Index capacity) const {
  std::vector<LayerCache> caches;
  for (const auto& layer : layers_) caches.push_back(layer->start(memory, capacity));
  return caches;
}

Tensor Decoder::step(const Tensor& x, std::vector<LayerCache>& caches, const AttentionOptions& cross_options,
                     const AttentionOptions& self_options) {
  Tensor y = x;
  for (size_t i = 0; i < layers_.size(); ++i) y = layers_[i]->step(y, caches[i], cross_options, self_options);
  return norm_ ? norm_(y) : y;
}

Tensors Decoder::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error("Decoder: ", inputs.size(), " inputs were given but it takes x and memory");
  AttentionOptions causal;
  causal.causal = true;
  return {(*this)(inputs[0], inputs[1], causal, {}, false).out};
}

}  // namespace attendo::nn

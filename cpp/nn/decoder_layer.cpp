// Decoder layer: causal self-attention, attention to the encoder's output (the memory), a feed-forward network
//
//   post-norm   a = norm1(x + drop(self(x)))       b = norm2(a + drop(cross(a, memory)))       y = norm3(b + drop(ffn(b)))
//   pre-norm    a = x + drop(self(norm1(x)))       b = a + drop(cross(norm2(a), memory))       y = b + drop(ffn(norm3(b)))
//
// x, y: (B, T, d_model).  memory: (B, S, d_model).   Vaswani et al. 2017, §3.1; article 003 §5.2.
#include "nn/decoder_layer.h"

#include "ops/arithmetic.h"
#include "ops/linear.h"

namespace attendo::nn {

DecoderLayer::DecoderLayer(const LayerOptions& o)
    : norm_first_(o.norm_first),
      self_attn_(std::make_shared<MultiHeadAttention>(o.d_model, o.num_heads, o.dropout, true, o.dtype)),
      cross_attn_(std::make_shared<MultiHeadAttention>(o.d_model, o.num_heads, o.dropout, true, o.dtype)),
      feed_forward_(std::make_shared<FeedForward>(o.d_model, o.dff, o.dropout, o.activation, o.dtype)),
      norm1_(std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype)),
      norm2_(std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype)),
      norm3_(std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype)),
      dropout1_(std::make_shared<Dropout>(o.dropout)),
      dropout2_(std::make_shared<Dropout>(o.dropout)),
      dropout3_(std::make_shared<Dropout>(o.dropout)) {
  register_module("self_attn", self_attn_);
  register_module("cross_attn", cross_attn_);
  register_module("feed_forward", feed_forward_);
  register_module("norm1", norm1_);
  register_module("norm2", norm2_);
  register_module("norm3", norm3_);
  register_module("dropout1", dropout1_);
  register_module("dropout2", dropout2_);
  register_module("dropout3", dropout3_);
}

DecoderLayer::Result DecoderLayer::operator()(const Tensor& x, const Tensor& memory,
                                              const AttentionOptions& self_options,
                                              const AttentionOptions& cross_options, bool return_weights) {
  const DType dtype = self_attn_->weights().in_weight.dtype();
  check_input("DecoderLayer", "x", x, 3, self_attn_->d_model(), dtype);
  check_input("DecoderLayer", "memory", memory, 3, self_attn_->d_model(), dtype);
  AttentionResult self, cross;
  Tensor y;
  if (norm_first_) {
    const Tensor n = (*norm1_)(x);
    self = (*self_attn_)(n, n, n, self_options, return_weights);
    const ResidualNorm a = residual_norm(x, self.out, *norm2_, *dropout1_, true);
    cross = (*cross_attn_)(a.out, memory, memory, cross_options, return_weights);
    const ResidualNorm b = residual_norm(a.sum, cross.out, *norm3_, *dropout2_, true);
    y = add(b.sum, (*dropout3_)((*feed_forward_)(b.out)));
  } else {
    self = (*self_attn_)(x, x, x, self_options, return_weights);
    const Tensor a = residual_norm(x, self.out, *norm1_, *dropout1_).out;
    cross = (*cross_attn_)(a, memory, memory, cross_options, return_weights);
    const Tensor b = residual_norm(a, cross.out, *norm2_, *dropout2_).out;
    y = residual_norm(b, (*feed_forward_)(b), *norm3_, *dropout3_).out;
  }
  return {y, self.weights, cross.weights};
}

LayerCache DecoderLayer::start(const Tensor& memory, Index capacity) const {
  const MultiHeadWeights w = cross_attn_->weights();
  const Index e = cross_attn_->d_model();
  LayerCache cache;
  cache.memory = linear(memory, w.in_weight.rows(e, 3 * e), w.in_bias ? w.in_bias.rows(e, 3 * e) : Tensor());
  cache.self = KVCache(capacity);
  return cache;
}

Tensor DecoderLayer::step(const Tensor& x, LayerCache& cache, const AttentionOptions& cross_options) {
  const Index e = self_attn_->d_model();
  const MultiHeadWeights cross = cross_attn_->weights();
  auto cross_attention = [&](const Tensor& in) {
    const Tensor q = linear(in, cross.in_weight.rows(0, e), cross.in_bias ? cross.in_bias.rows(0, e) : Tensor());
    const AttentionResult r =
        attend_heads({q, 0}, {cache.memory, 0}, {cache.memory, e}, cross_attn_->shape(), cross_options, false);
    return linear(r.out, cross.out_weight, cross.out_bias);
  };
  if (norm_first_) {
    const Tensor a = add(x, self_attn_->step((*norm1_)(x), cache.self));
    const Tensor b = add(a, cross_attention((*norm2_)(a)));
    return add(b, (*feed_forward_)((*norm3_)(b)));
  }
  const Tensor a = (*norm1_)(add(x, self_attn_->step(x, cache.self)));
  const Tensor b = (*norm2_)(add(a, cross_attention(a)));
  return (*norm3_)(add(b, (*feed_forward_)(b)));
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
    norm_ = std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype);
    register_module("norm", norm_);
  }
}

StackResult Decoder::operator()(const Tensor& x, const Tensor& memory, const AttentionOptions& self_options,
                                const AttentionOptions& cross_options, bool return_weights) {
  StackResult result;
  result.out = x;
  for (const auto& layer : layers_) {
    DecoderLayer::Result one = (*layer)(result.out, memory, self_options, cross_options, return_weights);
    result.out = one.out;
    if (return_weights) {
      result.weights.push_back(one.weights);
      result.cross_weights.push_back(one.cross_weights);
    }
  }
  if (norm_) result.out = (*norm_)(result.out);
  return result;
}

std::vector<LayerCache> Decoder::start(const Tensor& memory, Index capacity) const {
  std::vector<LayerCache> caches;
  for (const auto& layer : layers_) caches.push_back(layer->start(memory, capacity));
  return caches;
}

Tensor Decoder::step(const Tensor& x, std::vector<LayerCache>& caches, const AttentionOptions& cross_options) {
  Tensor y = x;
  for (size_t i = 0; i < layers_.size(); ++i) y = layers_[i]->step(y, caches[i], cross_options);
  return norm_ ? (*norm_)(y) : y;
}

Tensors Decoder::forward(const Tensors& inputs) {
  if (inputs.size() != 2) value_error("Decoder: ", inputs.size(), " inputs were given but it takes x and memory");
  AttentionOptions causal;
  causal.causal = true;
  return {(*this)(inputs[0], inputs[1], causal, {}, false).out};
}

}  // namespace attendo::nn

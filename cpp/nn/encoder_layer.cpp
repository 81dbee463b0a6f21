// Encoder layer: self-attention, then a feed-forward network, each with dropout, residual and layer norm
//
//   post-norm   a = norm1(x + drop(attn(x)))            y = norm2(a + drop(ffn(a)))
//   pre-norm    a = x + drop(attn(norm1(x)))            y = a + drop(ffn(norm2(a)))
//
// x, y: (B, L, d_model).  A pre-norm stack ends with one more norm.   Vaswani et al. 2017, §3.1; Xiong et al. 2020; 003 §5.2.
#include "nn/encoder_layer.h"

#include "ops/arithmetic.h"

namespace attendo::nn {

EncoderLayer::EncoderLayer(const LayerOptions& o)
    : norm_first_(o.norm_first),
      self_attn_(std::make_shared<MultiHeadAttention>(o.d_model, o.num_heads, o.dropout, true, o.dtype)),
      feed_forward_(std::make_shared<FeedForward>(o.d_model, o.dff, o.dropout, o.activation, o.dtype)),
      norm1_(std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype)),
      norm2_(std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype)),
      dropout1_(std::make_shared<Dropout>(o.dropout)),
      dropout2_(std::make_shared<Dropout>(o.dropout)) {
  register_module("self_attn", self_attn_);
  register_module("feed_forward", feed_forward_);
  register_module("norm1", norm1_);
  register_module("norm2", norm2_);
  register_module("dropout1", dropout1_);
  register_module("dropout2", dropout2_);
}

AttentionResult EncoderLayer::operator()(const Tensor& x, const AttentionOptions& options, bool return_weights) {
  check_input("EncoderLayer", "x", x, 3, self_attn_->d_model(), self_attn_->weights().in_weight.dtype());
  AttentionResult result;
  if (norm_first_) {
    const Tensor n = (*norm1_)(x);
    result = (*self_attn_)(n, n, n, options, return_weights);
    const ResidualNorm a = residual_norm(x, result.out, *norm2_, *dropout1_, true);
    result.out = add(a.sum, (*dropout2_)((*feed_forward_)(a.out)));
  } else {
    result = (*self_attn_)(x, x, x, options, return_weights);
    const Tensor a = residual_norm(x, result.out, *norm1_, *dropout1_).out;
    result.out = residual_norm(a, (*feed_forward_)(a), *norm2_, *dropout2_).out;
  }
  return result;
}

Tensor EncoderLayer::step(const Tensor& x, KVCache& cache) {
  if (norm_first_) {
    const Tensor a = add(x, self_attn_->step((*norm1_)(x), cache));
    return add(a, (*feed_forward_)((*norm2_)(a)));
  }
  const Tensor a = (*norm1_)(add(x, self_attn_->step(x, cache)));
  return (*norm2_)(add(a, (*feed_forward_)(a)));
}

void check_num_layers(const char* stack, Index num_layers) {
  if (num_layers < 0 || num_layers > 10000)
    value_error(stack, ": num_layers is ", num_layers, " but must be 0 to 10000");
}

Encoder::Encoder(Index num_layers, const LayerOptions& o) {
  check_num_layers("Encoder", num_layers);
  std::vector<std::shared_ptr<Module>> modules;
  for (Index i = 0; i < num_layers; ++i) {
    layers_.push_back(std::make_shared<EncoderLayer>(o));
    modules.push_back(layers_.back());
  }
  register_module("layers", std::make_shared<ModuleList>(modules));
  if (o.norm_first) {
    norm_ = std::make_shared<LayerNorm>(o.d_model, 1e-5, o.dtype);
    register_module("norm", norm_);
  }
}

StackResult Encoder::operator()(const Tensor& x, const AttentionOptions& options, bool return_weights) {
  StackResult result;
  result.out = x;
  for (const auto& layer : layers_) {
    AttentionResult one = (*layer)(result.out, options, return_weights);
    result.out = one.out;
    if (return_weights) result.weights.push_back(one.weights);
  }
  if (norm_) result.out = (*norm_)(result.out);
  return result;
}

std::vector<KVCache> Encoder::start(Index capacity) const {
  return std::vector<KVCache>(layers_.size(), KVCache(capacity));
}

Tensor Encoder::step(const Tensor& x, std::vector<KVCache>& caches) {
  Tensor y = x;
  for (size_t i = 0; i < layers_.size(); ++i) y = layers_[i]->step(y, caches[i]);
  return norm_ ? (*norm_)(y) : y;
}

}  // namespace attendo::nn

// Encoder layer: self-attention, then a feed-forward network, each with dropout, residual and layer norm
//
//   post-norm   a = norm1(x + drop(attn(x)))            y = norm2(a + drop(ffn(a)))
//   pre-norm    a = x + drop(attn(norm1(x)))            y = a + drop(ffn(norm2(a)))
//
// x, y: (B, L, d_model).  A pre-norm stack ends with one more norm. Norm, activation, biases, heads and rotary positions are
// options: BERT and ViT are such layers as well as GPT-2 and Llama.                                    Vaswani et al. 2017, §3.1; Xiong et al. 2020; 003 §5.2.
#include "nn/encoder_layer.h"

#include "core/cost.h"
#include "attention/mask_rule.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"

namespace attendo::nn {

MultiHeadOptions LayerOptions::attention() const {
  MultiHeadOptions a;
  a.d_model = d_model, a.num_heads = num_heads, a.num_kv_heads = num_kv_heads, a.head_dim = head_dim;
  a.dropout = dropout, a.bias = qkv_bias.value_or(bias), a.out_bias = out_bias.value_or(bias);
  a.scale = scale, a.qk_norm = qk_norm, a.qk_norm_eps = norm_eps, a.rotary = rotary, a.dtype = dtype;
  return a;
}

EncoderLayer::EncoderLayer(const LayerOptions& o)
    : norm_first_(o.norm_first),
      window_(o.window),
      self_attn_(std::make_shared<MultiHeadAttention>(o.attention())),
      feed_forward_(std::make_shared<FeedForward>(o.d_model, o.dff, o.dropout, o.activation, o.dtype, o.bias)),
      norm1_(o.make_norm()),
      norm2_(o.make_norm()),
      dropout1_(std::make_shared<Dropout>(o.dropout)),
      dropout2_(std::make_shared<Dropout>(o.dropout)) {
  register_module("self_attn", self_attn_);
  register_module("feed_forward", feed_forward_);
  register_module("norm1", norm1_.module());
  register_module("norm2", norm2_.module());
  register_module("dropout1", dropout1_);
  register_module("dropout2", dropout2_);
}

AttentionOptions EncoderLayer::with_window(AttentionOptions options) const {
  if (window_ > 0) options.left = std::min(window_ - 1, options.left.value_or(window_ - 1));
  return options;
}

AttentionResult EncoderLayer::operator()(const Tensor& x, const AttentionOptions& options, bool return_weights) {
  CostScope scope(this);
  check_input("EncoderLayer", "x", x, 3, self_attn_->d_model(), self_attn_->dtype());
  AttentionResult result;
  if (norm_first_) {
    const Tensor n = norm1_(x);
    result = (*self_attn_)(n, n, n, with_window(options), return_weights);
    const ResidualNorm a = norm2_(x, result.out, *dropout1_, true);
    result.out = add(a.sum, (*dropout2_)((*feed_forward_)(a.out)));
  } else {
    result = (*self_attn_)(x, x, x, with_window(options), return_weights);
    const Tensor a = norm1_(x, result.out, *dropout1_).out;
    result.out = norm2_(a, (*feed_forward_)(a), *dropout2_).out;
  }
  scope.gives(result.out);
  return result;
}

Tensor EncoderLayer::step(const Tensor& x, KVCache& cache, const AttentionOptions& options, const Tensor& counts) {
  if (norm_first_) {
    const Tensor a = add(x, self_attn_->step(norm1_(x), cache, with_window(options), counts));
    return add(a, (*feed_forward_)(norm2_(a)));
  }
  const Tensor a = norm1_(add(x, self_attn_->step(x, cache, with_window(options), counts)));
  return norm2_(add(a, (*feed_forward_)(a)));
}

void check_num_layers(const char* stack, Index num_layers) {
  if (num_layers < 0 || num_layers > 10000)
    value_error(stack, ": num_layers is ", num_layers, " but must be 0 to 10000");
}

Encoder::Encoder(Index num_layers, const LayerOptions& o, const std::vector<Index>& windows)
    : rotary_(o.rotary.has_value()) {
  check_num_layers("Encoder", num_layers);
  std::vector<std::shared_ptr<Module>> modules;
  for (Index i = 0; i < num_layers; ++i) {
    LayerOptions one = o;
    if (!windows.empty()) one.window = windows[static_cast<size_t>(i)];
    layers_.push_back(std::make_shared<EncoderLayer>(one));
    modules.push_back(layers_.back());
  }
  register_module("layers", std::make_shared<ModuleList>(modules));
  if (o.norm_first) {
    norm_ = o.make_norm();
    register_module("norm", norm_.module());
  }
}

StackResult Encoder::operator()(const Tensor& x, const AttentionOptions& options, Wanted wanted) {
  CostScope scope(this);
  StackResult result;
  result.out = x;
  for (const auto& layer : layers_) {
    if (wanted.hidden) result.hidden.push_back(result.out);
    AttentionResult one = (*layer)(result.out, options, wanted.weights);
    result.out = one.out;
    if (wanted.weights) result.weights.push_back(one.weights);
  }
  if (wanted.hidden) result.hidden.push_back(result.out);
  if (norm_) result.out = norm_(result.out);
  scope.gives(result.out);
  return result;
}

Tensor Encoder::without_padding(const Tensor& x, const Tensor& lengths) {
  constexpr const char* kOp = "Encoder.without_padding";
  check_float(kOp, "x", x);
  check_rank(kOp, "x", x, 3, "(batch, length, d_model)");
  const Index batch = x.dim(0), length = x.dim(1), d = x.dim(2);
  check_shape(kOp, "lengths", lengths, {batch});
  if (lengths.dtype() != DType::kInt64) {
    type_error(kOp, ": lengths has dtype ", dtype_name(lengths.dtype()), " but must be int64");
  }
  if (rotary_) value_error(kOp, ": rotary positions would count on from one sequence to the next");
  if (training()) value_error(kOp, ": the encoder is in training mode; call eval() first");
  const auto* real = lengths.data<std::int64_t>();
  std::vector<std::int64_t> rows, sequence;  // of each real position: where it is in x, and whose it is
  for (Index b = 0; b < batch; ++b) {
    if (real[b] < 0 || real[b] > length) {
      value_error(kOp, ": lengths holds ", real[b], " but must hold 0 to ", length);
    }
    for (Index i = 0; i < real[b]; ++i) rows.push_back(b * length + i), sequence.push_back(b);
  }
  const NoGrad no_grad;
  const Index total = static_cast<Index>(rows.size());
  auto ids = [](const std::vector<std::int64_t>& from) {
    const Tensor out = Tensor::empty({static_cast<Index>(from.size())}, DType::kInt64);
    std::copy(from.begin(), from.end(), out.data<std::int64_t>());
    return out;
  };
  const Tensor from = ids(rows);
  AttentionOptions options;
  MaskExpression::documents(ids(sequence)).lower(options, kOp, {1, 1, total, total, 0});
  const Tensor y = (*this)(gather_rows(x.view({batch * length, d}), from).view({1, total, d}), options, false).out;
  return scatter_rows(y.view({total, d}), from, batch * length).view(x.shape());
}

std::vector<KVCache> Encoder::start(Index capacity) const {
  return std::vector<KVCache>(layers_.size(), KVCache(capacity));
}

Tensor Encoder::step(const Tensor& x, std::vector<KVCache>& caches, const AttentionOptions& options,
                     const Tensor& counts) {
  Tensor y = x;
  for (size_t i = 0; i < layers_.size(); ++i) y = layers_[i]->step(y, caches[i], options, counts);
  return norm_ ? norm_(y) : y;
}

}  // namespace attendo::nn

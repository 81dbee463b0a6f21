#include "nn/multi_head_attention.h"

#include <cstring>

#include "ops/linear.h"

namespace attendo::nn {

MultiHeadAttention::MultiHeadAttention(Index d_model, Index num_heads, double dropout, bool bias, DType dtype)
    : d_model_(d_model), num_heads_(num_heads), dropout_(dropout), bias_(bias) {
  if (d_model < 1 || num_heads < 1 || d_model % num_heads != 0) {
    value_error("MultiHeadAttention: d_model is ", d_model, " and num_heads is ", num_heads,
                "; both must be positive and d_model a multiple of num_heads");
  }
  if (!(dropout >= 0 && dropout < 1))
    value_error("MultiHeadAttention: dropout is ", dropout, " but must be 0 or more and below 1");
  make_parameter("in_proj_weight", {3 * d_model, d_model}, dtype);
  if (bias) make_parameter("in_proj_bias", {3 * d_model}, dtype);
  out_proj_ = std::make_shared<Linear>(d_model, d_model, bias, dtype);
  register_module("out_proj", out_proj_);
  reset_own(generator());
}

void MultiHeadAttention::reset_own(Generator& generator) {
  // Each of the three projections is (d_model, d_model); biases start at zero.
  init_xavier(own_parameters()[0].second, d_model_, d_model_, generator);
  if (bias_) {
    const Tensor& b = own_parameters()[1].second;
    std::fill_n(b.raw(), b.bytes(), std::byte{0});
  }
}

MultiHeadWeights MultiHeadAttention::weights() const {
  return {own_parameters()[0].second, bias_ ? own_parameters()[1].second : Tensor(), out_proj_->weight(),
          out_proj_->bias()};
}

AttentionResult MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                               AttentionOptions options, bool return_weights) {
  if (training()) {
    options.dropout = dropout_;
    options.generator = &generator();
  }
  return multi_head(query, key, value, weights(), num_heads_, options, return_weights);
}

Tensor MultiHeadAttention::step(const Tensor& x, Tensor& cache, Index length) const {
  const MultiHeadWeights w = weights();
  const Index e = d_model_, batch = x.dim(0), count = x.dim(1);
  const Tensor qkv = linear(x, w.in_weight, w.in_bias);  // (B, T, 3 E)
  const auto width = static_cast<Index>(dtype_size(x.dtype()));
  for (Index b = 0; b < batch; ++b) {
    for (Index t = 0; t < count; ++t) {
      std::memcpy(cache.raw() + (b * cache.dim(1) + length + t) * 2 * e * width,
                  qkv.raw() + ((b * count + t) * 3 + 1) * e * width, static_cast<size_t>(2 * e * width));
    }
  }
  AttentionOptions so_far;
  so_far.causal = true;
  so_far.q_offset = length;
  so_far.key_lengths = Tensor::full({batch}, DType::kInt64, static_cast<double>(length + count));
  const AttentionResult r = attend_heads({qkv, 0}, {cache, 0}, {cache, e}, num_heads_, e / num_heads_, so_far, false);
  return linear(r.out, w.out_weight, w.out_bias);
}

Tensors MultiHeadAttention::forward(const Tensors& inputs) {
  if (inputs.size() == 1) return {(*this)(inputs[0], inputs[0], inputs[0], {}).out};
  if (inputs.size() != 3)
    value_error("MultiHeadAttention: ", inputs.size(), " inputs were given but it takes query, key and value");
  return {(*this)(inputs[0], inputs[1], inputs[2], {}).out};
}

std::string MultiHeadAttention::extra_repr() const {
  return concat("d_model=", d_model_, ", num_heads=", num_heads_, ", dropout=", dropout_);
}

}  // namespace attendo::nn

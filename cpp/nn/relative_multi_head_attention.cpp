#include "nn/relative_multi_head_attention.h"

#include "core/cost.h"
#include "attention/segment_recurrence.h"
#include "attention/transformer_xl_attention.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace attendo::nn {

RelativeMultiHeadAttention::RelativeMultiHeadAttention(Index d_model, Index num_heads, double dropout, bool bias,
                                                       DType dtype)
    : d_model_(d_model), num_heads_(num_heads), dropout_(dropout), bias_(bias) {
  const char* op = "RelativeMultiHeadAttention";
  if (d_model < 1 || num_heads < 1 || d_model % num_heads != 0) {
    value_error(op, ": d_model is ", d_model, " and num_heads is ", num_heads,
                "; both must be positive and d_model a multiple of num_heads");
  }
  constexpr Index kMost = Index{1} << 28;
  if (d_model > kMost) value_error(op, ": d_model is ", d_model, " but must be ", kMost, " or less");
  if (d_model % 2 != 0) value_error(op, ": d_model is ", d_model, " but must be even: half are sines, half cosines");
  if (!(dropout >= 0 && dropout < 1)) value_error(op, ": dropout is ", dropout, " but must be 0 or more and below 1");
  make_parameter("in_proj_weight", {3 * d_model, d_model}, dtype);
  make_parameter("content_bias", {num_heads, d_model / num_heads}, dtype);
  make_parameter("position_bias", {num_heads, d_model / num_heads}, dtype);
  if (bias) make_parameter("in_proj_bias", {3 * d_model}, dtype);
  r_proj_ = std::make_shared<Linear>(d_model, d_model, false, dtype);
  out_proj_ = std::make_shared<Linear>(d_model, d_model, bias, dtype);
  register_module("r_proj", r_proj_);
  register_module("out_proj", out_proj_);
  reset_own(generator());
}

void RelativeMultiHeadAttention::reset_own(Generator& generator) {
  init_xavier(own_parameters()[0].second, d_model_, d_model_, generator);
  for (size_t i = 1; i < own_parameters().size(); ++i) {
    const Tensor& b = own_parameters()[i].second;
    std::fill_n(b.raw(), b.bytes(), std::byte{0});
  }
}

Tensor RelativeMultiHeadAttention::project(const Tensor& x, Index part) const {
  const Index e = d_model_;
  const Tensor weight = own_parameters()[0].second.rows(part * e, (part + 1) * e);
  const Tensor b = bias_ ? own_parameters()[3].second.rows(part * e, (part + 1) * e) : Tensor();
  return swap_axes(reshape(linear(x, weight, b), {x.dim(0), x.dim(1), num_heads_, e / num_heads_}), 1, 2);
}

AttentionResult RelativeMultiHeadAttention::operator()(const Tensor& x, const Tensor& memory, AttentionOptions options,
                                                       bool return_weights) {
  check_input("RelativeMultiHeadAttention", "x", x, 3, d_model_, own_parameters()[0].second.dtype());
  return attend(segment_recurrence(x, memory, 0).extended, x.dim(1), options, return_weights);
}

AttentionResult RelativeMultiHeadAttention::attend(const Tensor& extended, Index length, AttentionOptions options,
                                                   bool return_weights) {
  CostScope scope(this);
  const Index keys = extended.dim(1);
  const Tensor x = keys == length ? extended : take(extended, 1, keys - length, keys);
  if (training()) {
    options.dropout = dropout_;
    options.generator = &generator();
  }
  options.q_offset = keys - length;
  // Distances keys - 1 … 0 where no key after its query counts, … -(length - 1) else.
  const Index count = options.causal ? keys : std::max<Index>(0, keys + length - 1);
  const Tensor sinusoid = relative_sinusoid(keys - 1, count, d_model_, x.dtype());
  const Tensor r = reshape((*r_proj_)(sinusoid), {count, num_heads_, d_model_ / num_heads_});
  AttentionResult result =
      transformer_xl_attention(project(x, 0), project(extended, 1), project(extended, 2), swap_axes(r, 0, 1),
                               own_parameters()[1].second, own_parameters()[2].second, options, return_weights);
  result.out = (*out_proj_)(reshape(swap_axes(result.out, 1, 2), x.shape()));
  scope.gives(result.out);
  return result;
}

Tensors RelativeMultiHeadAttention::forward(const Tensors& inputs) {
  if (inputs.empty() || inputs.size() > 2)
    value_error("RelativeMultiHeadAttention: ", inputs.size(), " inputs were given but it takes x and its memory");
  return {(*this)(inputs[0], inputs.size() > 1 ? inputs[1] : Tensor(), {}).out};
}

std::string RelativeMultiHeadAttention::extra_repr() const {
  return concat("d_model=", d_model_, ", num_heads=", num_heads_, ", dropout=", dropout_);
}

}  // namespace attendo::nn

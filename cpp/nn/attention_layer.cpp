// Attention in the manner of Keras
//
//   dot      s_ij = Σ_d W_d q_id k_jd               concat   s_ij = Σ_d W_d tanh(q_id + k_jd)
//            P = softmax_j(s)     out_i = Σ_j P_ij v_j
//   pooled   s_i = Σ_d W_d q_id k_id                α = softmax_i(s)     out = Σ_i α_i v_i
//
// q: (B, L, D).  k: (B, S, D).  v: (B, S, Dv).  W: (D,), ones without use_scale.  The gradient is that of its parts.
// pooled is what the article's layer means: there softmax runs over an axis of length 1, and W is never used.
//                                                                                         Article 001 §5.2, corrected.
#include "nn/attention_layer.h"

#include <algorithm>

#include "core/cost.h"
#include "attention/pooled.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo::nn {

AttentionLayer::AttentionLayer(Index features, const std::string& score_mode, bool use_scale, double dropout,
                               DType dtype)
    : features_(features), use_scale_(use_scale), dropout_(dropout), dtype_(dtype) {
  if (features < 1) value_error("AttentionLayer: features is ", features, " but must be 1 or more");
  if (score_mode == "dot") {
    mode_ = Mode::kDot;
  } else if (score_mode == "concat") {
    mode_ = Mode::kConcat;
  } else if (score_mode == "pooled") {
    mode_ = Mode::kPooled;
  } else {
    value_error("AttentionLayer: score_mode is '", score_mode, "' but must be 'dot', 'concat' or 'pooled'");
  }
  if (!(dropout >= 0 && dropout < 1))
    value_error("AttentionLayer: dropout is ", dropout, " but must be 0 or more and below 1");
  if (use_scale) make_parameter("W", {features}, dtype);
  reset_own(generator());
}

void AttentionLayer::reset_own(Generator& generator) {
  if (!use_scale_) return;
  const Tensor& w = own_parameters()[0].second;
  if (mode_ == Mode::kConcat) {
    init_xavier(w, features_, 1, generator);
  } else {
    const Tensor ones = Tensor::full(w.shape(), w.dtype(), 1);
    std::copy_n(ones.raw(), ones.bytes(), w.raw());
  }
}

AttentionResult AttentionLayer::operator()(const Tensor& query, const Tensor& value, const Tensor& key,
                                           const Tensor& query_mask, const Tensor& value_mask, AttentionOptions options,
                                           bool return_weights) {
  CostScope scope(this);
  const char* op = "AttentionLayer";
  check_input(op, "query", query, 3, features_, dtype_);
  check_input(op, "key", key, 3, features_, dtype_);
  check_input(op, "value", value, 3, value.rank() > 0 ? value.dim(-1) : 0, dtype_);
  for (const auto& [name, x] : {std::pair{"value", &value}, std::pair{"key", &key}}) {
    if (x->dim(0) != query.dim(0)) {
      value_error(op, ": ", name, " has a batch of ", x->dim(0), " but query has one of ", query.dim(0));
    }
  }
  if (key.dim(1) != value.dim(1)) {
    value_error(op, ": key has ", key.dim(1), " positions but value has ", value.dim(1));
  }
  const bool is_pooled = mode_ == Mode::kPooled;
  if (is_pooled && query.dim(1) != key.dim(1)) {
    value_error(op, ": query has ", query.dim(1), " positions but key has ", key.dim(1),
                "; score_mode='pooled' compares them one by one");
  }
  if (is_pooled && (options.causal || query_mask)) {
    value_error(op, ": score_mode='pooled' has one result a sample, so neither use_causal_mask nor a query mask");
  }
  const Index b = query.dim(0), length = query.dim(1), keys = key.dim(1);
  const std::tuple<const char*, const Tensor*, Index> masks[] = {{"query", &query_mask, length},
                                                                 {"value", &value_mask, keys}};
  for (const auto& [name, x, n] : masks) {
    if (!*x) continue;
    if (x->dtype() != DType::kBool) {
      type_error(op, ": mask of ", name, " has dtype ", dtype_name(x->dtype()), " but must be bool (True = counts)");
    }
    if (!(x->shape() == Shape{b, n})) {
      value_error(op, ": mask of ", name, " has shape ", x->shape(), " but must be (", b, ", ", n, ")");
    }
  }
  if (training() && dropout_ > 0) {
    options.dropout = dropout_;
    options.generator = &generator();
  }
  const Tensor w = use_scale_ ? own_parameters()[0].second : Tensor();
  if (is_pooled) {
    options.mask = value_mask;
    AttentionResult result = pooled(query, key, value, w, options, return_weights);
    scope.gives(result.out);
    return result;
  }
  if (query_mask) {
    const Tensor both = Tensor::empty({b, length, keys}, DType::kBool);
    for (Index i = 0; i < b * length; ++i) {
      const bool asks = query_mask.data<bool>()[i];
      for (Index j = 0; j < keys; ++j) {
        both.data<bool>()[i * keys + j] = asks && (!value_mask || value_mask.data<bool>()[i / length * keys + j]);
      }
    }
    options.mask = both;
  } else if (value_mask) {
    options.mask = value_mask.view({b, 1, keys});
  }
  Score score;
  score.kind = mode_ == Mode::kDot ? Score::kDot : Score::kAdditive;
  if (mode_ == Mode::kConcat) score.params = {w ? w : Tensor::full({features_}, dtype_, 1)};
  const Tensor q = mode_ == Mode::kDot && w ? multiply(query, w) : query;
  AttentionResult result = attend_one_head(q, key, value, score, options, return_weights);
  scope.gives(result.out);
  return result;
}

Tensors AttentionLayer::forward(const Tensors& inputs) {
  if (inputs.empty() || inputs.size() > 3)
    value_error("AttentionLayer: ", inputs.size(), " inputs were given but it takes query, value and perhaps key");
  const Tensor& value = inputs.size() > 1 ? inputs[1] : inputs[0];
  return {(*this)(inputs[0], value, inputs.size() > 2 ? inputs[2] : value, {}, {}, {}, false).out};
}

std::string AttentionLayer::extra_repr() const {
  const char* mode = mode_ == Mode::kDot ? "dot" : mode_ == Mode::kConcat ? "concat" : "pooled";
  return concat("features=", features_, ", score_mode=", mode, ", use_scale=", use_scale_ ? "True" : "False",
                ", dropout=", dropout_);
}

}  // namespace attendo::nn

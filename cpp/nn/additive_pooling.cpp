// Pooling by a score of each position
//
//   s_i = uᵀ tanh(W x_i + b)      α = softmax over the allowed positions of s      out = Σ_i α_i x_i
//
// x: (B, S, d).  W: (units, d).  b, u: (units,).  α: (B, S).  out: (B, d).  Scores and sum are those of additive attention with
// one query, whose projection is 0; the gradient is that of its parts.     Yang et al. 2016, eq. 5-7; Lin et al. 2017, eq. 5.
#include "nn/additive_pooling.h"

#include "core/cost.h"
#include "attention/scored.h"
#include "ops/shape.h"

namespace attendo::nn {

AdditivePooling::AdditivePooling(Index d_model, Index units, DType dtype) {
  for (const auto& [name, size] : {std::pair{"d_model", d_model}, std::pair{"units", units}}) {
    if (size < 1) value_error("AdditivePooling: ", name, " is ", size, " but must be 1 or more");
  }
  hidden_ = std::make_shared<Linear>(d_model, units, true, dtype);
  make_parameter("context", {units}, dtype);
  register_module("hidden", hidden_);
  reset_own(generator());
}

void AdditivePooling::reset_own(Generator& generator) {
  const Tensor& context = own_parameters()[0].second;
  init_uniform(context, context.size(), generator);
}

AttentionResult AdditivePooling::operator()(const Tensor& x, const AttentionOptions& options, bool return_weights) {
  CostScope scope(this);
  const Tensor& context = own_parameters()[0].second;
  const Index d_model = hidden_->weight().dim(1);
  check_input("AdditivePooling", "x", x, 3, d_model, context.dtype());
  Score score;
  score.kind = Score::kAdditive;
  score.params = {context};
  const Tensor query = Tensor::zeros({x.dim(0), 1, context.size()}, x.dtype());
  AttentionResult result = attend_one_head(query, (*hidden_)(x), x, score, options, return_weights);
  result.out = reshape(result.out, {x.dim(0), d_model});
  if (result.weights) result.weights = reshape(result.weights, {x.dim(0), x.dim(1)});
  scope.gives(result.out);
  return result;
}

Tensors AdditivePooling::forward(const Tensors& inputs) {
  return {(*this)(only_input("AdditivePooling", inputs), {}, false).out};
}

std::string AdditivePooling::extra_repr() const {
  return concat("d_model=", hidden_->weight().dim(1), ", units=", hidden_->weight().dim(0));
}

}  // namespace attendo::nn

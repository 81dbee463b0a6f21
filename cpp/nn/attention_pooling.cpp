// Pooling by attention: learned queries attend to a sequence
//
//   out = MultiHead(Q, x, x),   Q trained, the same for every sample
//
// x: (B, S, d).  Q: (k, d).  out: (B, k, d).  The gradient is that of its parts.
//                                                          Lee et al. 2019, eq. 11 (without its layers); Zhai et al. 2022, §3.2.
#include "nn/attention_pooling.h"

#include "core/cost.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo::nn {

AttentionPooling::AttentionPooling(Index d_model, Index num_heads, Index num_queries, double dropout, bool bias,
                                   DType dtype)
    : num_queries_(num_queries),
      attention_(std::make_shared<MultiHeadAttention>(d_model, num_heads, dropout, bias, dtype)) {
  if (num_queries < 0) value_error("AttentionPooling: num_queries is ", num_queries, " but must be 1 or more");
  make_parameter("query", {std::max<Index>(1, num_queries), d_model}, dtype);
  register_module("attention", attention_);
  reset_own(generator());
}

void AttentionPooling::reset_own(Generator& generator) {
  const Tensor& query = own_parameters()[0].second;
  init_xavier(query, query.dim(0), query.dim(1), generator);
}

AttentionResult AttentionPooling::operator()(const Tensor& x, AttentionOptions options, bool return_weights) {
  CostScope scope(this);
  const Tensor& query = own_parameters()[0].second;
  check_input("AttentionPooling", "x", x, 3, query.dim(1), query.dtype());
  const Index batch = x.dim(0), queries = query.dim(0), d_model = query.dim(1);
  AttentionResult result =
      (*attention_)(broadcast_to(query, {batch, queries, d_model}), x, x, std::move(options), return_weights);
  if (num_queries_ == 0) {
    result.out = reshape(result.out, {batch, d_model});
    if (result.weights) result.weights = reshape(result.weights, {batch, attention_->num_heads(), x.dim(1)});
  }
  scope.gives(result.out);
  return result;
}

Tensors AttentionPooling::forward(const Tensors& inputs) {
  return {(*this)(only_input("AttentionPooling", inputs), {}, false).out};
}

std::string AttentionPooling::extra_repr() const {
  return concat("d_model=", attention_->d_model(), ", num_heads=", attention_->num_heads(),
                num_queries_ == 0 ? "" : concat(", num_queries=", num_queries_));
}

}  // namespace attendo::nn

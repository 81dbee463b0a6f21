// Bahdanau's attention layer
//
//   s_ij = v_aᵀ tanh(W_q h_i + W_k m_j + b)      c_i = Σ_j softmax_j(s_ij) m_j
//
// h: (B, Dq) or (B, L, Dq), decoder states.  m: (B, S, Dk), encoder states.  W: (units, D).  Forward and backward of the scores:
// attention/additive.cpp.   Bahdanau et al. 2015, §3.1.
#include "nn/additive_attention.h"

#include <algorithm>

#include "core/cost.h"
#include "ops/shape.h"

namespace attendo::nn {

AttentionResult attend_memory(const char* layer, const Tensor& query, Index query_dim, const Tensor& memory,
                              Index memory_dim, DType dtype, AttentionOptions options, const AttendMemory& attend) {
  check_input(layer, "query", query, 0, query_dim, dtype);
  check_input(layer, "memory", memory, 0, memory_dim, dtype);
  check_rank(layer, "memory", memory, 3, "(batch, length, features)");
  if (query.rank() != 2) check_rank(layer, "query", query, 3, "(batch, features) or (batch, length, features)");
  if (memory.dim(0) != query.dim(0)) {
    value_error(layer, ": memory has a batch of ", memory.dim(0), " but query has one of ", query.dim(0));
  }
  if (query.rank() == 3) return attend(query, options);
  if (options.mask && options.mask.rank() == 2) {
    options.mask = reshape(options.mask, {options.mask.dim(0), 1, options.mask.dim(1)});
  }
  AttentionResult result = attend(reshape(query, {query.dim(0), 1, query.dim(1)}), options);
  result.out = reshape(result.out, {query.dim(0), result.out.dim(-1)});
  if (result.weights) result.weights = reshape(result.weights, {query.dim(0), memory.dim(1)});
  return result;
}

AdditiveAttention::AdditiveAttention(Index query_dim, Index memory_dim, Index units, bool bias, DType dtype)
    : query_dim_(query_dim), memory_dim_(memory_dim), units_(units), bias_(bias) {
  const std::pair<const char*, Index> sizes[] = {
      {"query_dim", query_dim}, {"memory_dim", memory_dim}, {"units", units}};
  for (const auto& [name, size] : sizes) {
    if (size < 1) value_error("AdditiveAttention: ", name, " is ", size, " but must be 1 or more");
  }
  make_parameter("W_q", {units, query_dim}, dtype);
  make_parameter("W_k", {units, memory_dim}, dtype);
  make_parameter("v_a", {units}, dtype);
  if (bias) make_parameter("b", {units}, dtype);
  reset_own(generator());
}

void AdditiveAttention::reset_own(Generator& generator) {
  init_xavier(own_parameters()[0].second, query_dim_, units_, generator);
  init_xavier(own_parameters()[1].second, memory_dim_, units_, generator);
  init_uniform(own_parameters()[2].second, units_, generator);
  if (!bias_) return;
  const Tensor& b = own_parameters()[3].second;
  std::fill_n(b.raw(), b.bytes(), std::byte{0});
}

AttentionResult AdditiveAttention::operator()(const Tensor& query, const Tensor& memory,
                                              const AttentionOptions& options, bool return_weights) {
  CostScope scope(this);
  Score score;
  score.kind = Score::kAdditive;
  for (const auto& [name, value] : own_parameters()) score.params.push_back(value);
  AttentionResult result =
      attend_memory("AdditiveAttention", query, query_dim_, memory, memory_dim_, score.params[0].dtype(), options,
                    [&](const Tensor& q, const AttentionOptions& o) {
                      return attend_one_head(q, memory, memory, score, o, return_weights);
                    });
  scope.gives(result.out);
  return result;
}

Tensors AdditiveAttention::forward(const Tensors& inputs) {
  if (inputs.size() != 2)
    value_error("AdditiveAttention: ", inputs.size(), " inputs were given but it takes query and memory");
  return {(*this)(inputs[0], inputs[1], {}, false).out};
}

std::string AdditiveAttention::extra_repr() const {
  return concat("query_dim=", query_dim_, ", memory_dim=", memory_dim_, ", units=", units_,
                bias_ ? "" : ", bias=False");
}

}  // namespace attendo::nn

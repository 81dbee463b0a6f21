// Luong's attention layer: attention/luong.cpp with trained weights
//
//   dot      s_ij = h_i·m_j            general   s_ij = h_iᵀ W_a m_j            concat   s_ij = v_aᵀ tanh(W_q h_i + W_k m_j)
//   h̃_i = tanh(W_c [c_i; h_i])
//
// h: (B, D) or (B, L, D).  m: (B, S, Ds).  The paper's W_a [h; m] of concat is [W_q W_k] [h; m].   Luong et al. 2015, eq. 5, 8.
#include "nn/luong_attention.h"

#include "core/cost.h"
#include "attention/luong.h"

namespace attendo::nn {

LuongAttention::LuongAttention(const LuongOptions& o) : o_(o) {
  if (o.score != "dot" && o.score != "general" && o.score != "concat") {
    value_error("LuongAttention: score is '", o.score, "' but must be 'dot', 'general' or 'concat'");
  }
  const std::pair<const char*, Index> sizes[] = {
      {"query_dim", o.query_dim}, {"memory_dim", o.memory_dim}, {"out_features", o.out_features}, {"units", o.units}};
  for (const auto& [name, size] : sizes) {
    if (size < 1) value_error("LuongAttention: ", name, " is ", size, " but must be 1 or more");
  }
  if (o.score == "dot" && o.query_dim != o.memory_dim) {
    value_error("LuongAttention: memory_dim is ", o.memory_dim, " but query_dim is ", o.query_dim,
                "; score='dot' needs them equal");
  }
  if (o.score == "general") make_parameter("W_a", {o.query_dim, o.memory_dim}, o.dtype);
  if (o.score == "concat") {
    make_parameter("W_q", {o.units, o.query_dim}, o.dtype);
    make_parameter("W_k", {o.units, o.memory_dim}, o.dtype);
    make_parameter("v_a", {o.units}, o.dtype);
  }
  make_parameter("W_c", {o.out_features, o.memory_dim + o.query_dim}, o.dtype);
  reset_own(generator());
}

void LuongAttention::reset_own(Generator& generator) {
  for (const auto& [name, value] : own_parameters()) {
    if (value.rank() == 1) {
      init_uniform(value, value.dim(0), generator);
    } else {
      init_xavier(value, value.dim(1), value.dim(0), generator);
    }
  }
}

AttentionResult LuongAttention::operator()(const Tensor& query, const Tensor& memory, const AttentionOptions& options,
                                           bool return_weights) {
  CostScope scope(this);
  Score score;
  score.kind = o_.score == "dot" ? Score::kDot : o_.score == "general" ? Score::kGeneral : Score::kAdditive;
  for (size_t i = 0; i + 1 < own_parameters().size(); ++i) score.params.push_back(own_parameters()[i].second);
  AttentionResult result =
      attend_memory("LuongAttention", query, o_.query_dim, memory, o_.memory_dim, o_.dtype, options,
                    [&](const Tensor& q, const AttentionOptions& o) {
                      return luong(q, memory, own_parameters().back().second, score, o, return_weights);
                    });
  scope.gives(result.out);
  return result;
}

Tensors LuongAttention::forward(const Tensors& inputs) {
  if (inputs.size() != 2)
    value_error("LuongAttention: ", inputs.size(), " inputs were given but it takes query and memory");
  return {(*this)(inputs[0], inputs[1], {}, false).out};
}

std::string LuongAttention::extra_repr() const {
  return concat("query_dim=", o_.query_dim, ", memory_dim=", o_.memory_dim, ", out_features=", o_.out_features,
                ", score=", o_.score);
}

}  // namespace attendo::nn

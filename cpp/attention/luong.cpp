// Luong's attentional vector
//
//   c_i = Σ_j softmax_j(score(h_i, m_j)) m_j      h̃_i = tanh(W_c [c_i; h_i])
//
//   backward   dz = dh̃ (1 - h̃²)      dW_c = Σ_i dz_i [c_i; h_i]ᵀ      [dc_i; dh_i] = W_cᵀ dz_i, then that of attention
//
// h: (…, L, D), decoder states.  m: (…, S, Ds), encoder states.  W_c: (out, Ds + D).  One head. The gradient is that of its
// parts.   Luong et al. 2015, eq. 5; article 002 §3.1.
#include "attention/luong.h"

#include "ops/activations.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace attendo {

AttentionResult luong(const Tensor& query, const Tensor& memory, const Tensor& w_c, const Score& score,
                      const AttentionOptions& options, bool return_weights) {
  for (const auto& [name, x] : {std::pair{"query", &query}, std::pair{"memory", &memory}}) {
    check_float("luong", name, *x);
    check_min_rank("luong", name, *x, 2, "(..., length, features)");
  }
  bool agree = query.rank() == memory.rank();
  for (int axis = 0; agree && axis < query.rank() - 2; ++axis) agree = query.dim(axis) == memory.dim(axis);
  if (!agree) {
    value_error("luong: memory has shape ", memory.shape(), " but query has shape ", query.shape(),
                "; all axes but the last two must agree");
  }
  check_float("luong", "W_c", w_c);
  check_rank("luong", "W_c", w_c, 2, "(out, Ds + D)");
  check_same_dtype("luong", "memory", memory, "query", query);
  check_same_dtype("luong", "W_c", w_c, "query", query);
  if (w_c.dim(1) != memory.dim(-1) + query.dim(-1)) {
    value_error("luong: W_c has ", w_c.dim(1), " columns but memory and query have ", memory.dim(-1), " + ",
                query.dim(-1), " features");
  }
  AttentionResult result = attend_one_head(query, memory, memory, score, options, return_weights);
  result.out = tanh(linear(concatenate({result.out, query}, -1), w_c, Tensor()));
  return result;
}

}  // namespace attendo

#pragma once

#include "attention/scored.h"
#include "nn/layers.h"

namespace attendo::nn {

// Checks query (B, Dq) or (B, L, Dq) and memory (B, S, Dk) of one layer, and calls attend(query (B, L, Dq), options) -> out
// (B, L, ·), weights (B, L, S). What comes back has the query's axes; so have masks.
using AttendMemory = std::function<AttentionResult(const Tensor& query, const AttentionOptions& options)>;
AttentionResult attend_memory(const char* layer, const Tensor& query, Index query_dim, const Tensor& memory,
                              Index memory_dim, DType dtype, AttentionOptions options, const AttendMemory& attend);

// Bahdanau's attention of a decoder to an encoder's states.
class AdditiveAttention : public Module {
 public:
  AdditiveAttention(Index query_dim, Index memory_dim, Index units, bool bias, DType dtype);
  // query (B, Dq) or (B, L, Dq), memory (B, S, Dk) -> context (B, Dk) or (B, L, Dk), weights (B, S) or (B, L, S)
  AttentionResult operator()(const Tensor& query, const Tensor& memory, const AttentionOptions& options,
                             bool return_weights);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "AdditiveAttention"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

 private:
  Index query_dim_, memory_dim_, units_;
  bool bias_;
};

}  // namespace attendo::nn

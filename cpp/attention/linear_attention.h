#pragma once

#include <optional>

#include "attention/heads.h"
#include "core/autograd.h"

namespace attendo {

enum class LinearRule { kLinear, kGated, kDelta, kGatedDelta };
enum class FeatureMap { kNone, kElu, kRelu };  // x, elu(x) + 1, max(x, 0)

struct LinearAttentionOptions {
  LinearRule rule = LinearRule::kLinear;
  Tensor decay;                 // logarithms, (…, Hkv, S) or (…, Hkv, S, D); one head may stand for all
  Tensor beta;                  // (…, Hkv, S)
  Tensor state;                 // (…, Hkv, D, Dv), or (…, Hkv, D, Dv + 1) with normalize
  std::optional<double> scale;  // 1/√d when absent, 1 with normalize
  FeatureMap feature_map = FeatureMap::kNone;
  bool normalize = false;
  bool causal = true;
  Tensor key_lengths;  // int64 (batch,): keys from there on are padding
  Index chunk_size = 64;
};

struct LinearAttentionResult {
  Tensor out;
  Tensor state;  // after the last key
};

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv) -> out (…, H, L, Dv). `op` names the caller in errors.
LinearAttentionResult linear_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const LinearAttentionOptions& options, const char* op = "linear_attention");

// x (…, Hkv, S, …) with 0 from each batch entry's length on, whatever stood there; x itself without lengths.
Tensor without_padding(const Tensor& x, const Tensor& lengths, const Heads& heads);

}  // namespace attendo

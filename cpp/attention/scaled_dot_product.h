#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "attention/score_program.h"
#include "core/autograd.h"
#include "core/random.h"

namespace attendo {

class MaskRule;
namespace kernels {
template <typename T>
struct AttentionHead;
}

// What changes the scores and weights of attention.
struct AttentionOptions {
  std::optional<double> scale;  // 1/√d when absent
  bool causal = false;          // query i, at position i + q_offset, attends to keys j <= i + q_offset
  Index q_offset = 0;
  Tensor q_offsets;                      // int64 (batch,), in place of q_offset where batch entries differ
  std::optional<Index> left, right;      // a window: only keys i + q_offset - left to i + q_offset + right
  std::shared_ptr<const MaskRule> rule;  // further masks (attention/mask_rule.h)
  Index rule_row = 0;                    // which query of the rule is the first here: a block of a longer call
  Tensor key_lengths;                    // int64 (batch,): keys from there on are padding
  Tensor mask;                           // bool, broadcastable to (…, H, L, S): true = may attend
  Tensor bias;                           // float, broadcastable to (…, H, L, S): added to the scaled scores
  double softcap = 0;                    // c: scores become c tanh(s / c); 0 for none
  ScoreProgramPtr program;               // what the scores become after that, before the bias; null for nothing
  Tensor sinks;                          // float (H,): a further term exp(sink_h) in the denominator
  double dropout = 0;
  Generator* generator = nullptr;
};

struct AttentionResult {
  Tensor out;
  Tensor weights;  // undefined unless asked for
};

// q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv) -> out (…, H, L, Dv), weights (…, H, L, S)
AttentionResult scaled_dot_product(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                                   bool return_weights);

// How many heads there are and how wide they are. Query head h reads key-value head h / (heads / kv_heads).
struct HeadShape {
  Index heads = 1, kv_heads = 1;
  Index head_dim = 0;   // of queries and keys
  Index value_dim = 0;  // of values
};

// Heads side by side in the features, as projections leave them: head h of q is columns q_at + h·head_dim … of `q`
// (B, L, ·), and so on. The three may be parts of one tensor. -> out (B, L, H·value_dim), weights (B, H, L, S)
struct HeadColumns {
  Tensor source;
  Index at = 0;
};
// Keys and values before all others, (P, Hkv·D) and (P, Hkv·Dv), or none: every query attends to them whatever the mask, and no
// position counts them. The weights of the others then add up to less than 1.
struct PrefixRows {
  Tensor k, v;
};
AttentionResult attend_heads(const HeadColumns& q, const HeadColumns& k, const HeadColumns& v, const HeadShape& shape,
                             const AttentionOptions& options, bool return_weights, const PrefixRows& prefix = {});

// ---- for the other files of this folder -----------------------------------------------------------------------------

// Row i of head h of batch entry b begins at element at + b·batch + h·head + i·row of `source`.
struct HeadRows {
  Tensor source;
  Index at = 0, batch = 0, head = 0, row = 0;
};
struct AttentionSizes {
  Index batch = 1, heads = 1, kv_heads = 1, length = 0, keys = 0, d = 0, d_v = 0;
};
// Attention between rows wherever they lie, off the tape. Nothing is checked but the options; mask and bias broadcast to
// weights_shape.
void attend_rows(const HeadRows& q, const HeadRows& k, const HeadRows& v, const HeadRows& out,
                 const AttentionSizes& sizes, const Shape& weights_shape, const AttentionOptions& options,
                 const PrefixRows& prefix = {});

// pass(head, b·H + h, first query, end) over blocks of queries of every head, from several threads: for what is read off the
// scores of q (…, H, L, D) and k (…, Hkv, S, D) without attending. The head has no values.
template <typename T>
using ScorePass = std::function<void(const kernels::AttentionHead<T>& head, Index bh, Index begin, Index end)>;
template <typename T>
void for_score_blocks(const Tensor& q, const Tensor& k, const AttentionOptions& options, const ScorePass<T>& pass);

}  // namespace attendo

// Attention with any score
//
//   s_ij = score(q_i, k_j)      P_i = softmax over the allowed j of s_ij + b_ij      o_i = Σ_j P_ij v_j
//
//   dot          q·k                  scaled_dot   q·k / √D          general   qᵀ W k
//   additive     v_aᵀ tanh(W_q q + W_k k + b)                        cosine    q·k / ‖q‖‖k‖
//   kernel       -Σ_d (q_d - k_d)² / 2h_d²                           function  what the caller computes of two blocks
//
// q: (…, H, L, Dq).  k: (…, Hkv, S, Dk).  v: (…, Hkv, S, Dv).  Products of queries and keys go to the blocked kernel, after
// what has to be done to q and k. The other scores are made for some queries at a time and handed to it as its bias, with
// queries and keys of no features: without a gradient memory is linear in L; with one, the scores are kept.
//                                                    Articles 001 §3.2, 003 §3.1, 004 §3.2; Luong et al. 2015, §3.1.
#include "attention/scored.h"

#include <cmath>
#include <tuple>

#include "attention/additive.h"
#include "attention/cosine.h"
#include "attention/general.h"
#include "attention/kernel.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kBlockScores = Index{1} << 20;  // scores of the queries of one block
constexpr Index kMinRows = 64, kFunctionRows = 256, kFunctionKeys = 1024;

Index head_count(const Tensor& x) { return x.rank() >= 3 ? x.dim(-3) : 1; }

// What scaled_dot_product would find out, before any score is made.
void check_inputs(const Tensor& q, const Tensor& k, const Tensor& v, bool same_width) {
  const std::pair<const char*, const Tensor*> inputs[] = {{"q", &q}, {"k", &k}, {"v", &v}};
  for (const auto& [name, x] : inputs) {
    check_float("attention", name, *x);
    check_min_rank("attention", name, *x, 2, "(..., length, features)");
    check_same_dtype("attention", name, *x, "q", q);
    if (x->rank() != q.rank()) {
      value_error("attention: ", name, " has shape ", x->shape(), " but q has shape ", q.shape(),
                  "; they must have as many axes");
    }
    for (int axis = 0; axis < q.rank() - 3; ++axis) {
      if (x->dim(axis) == q.dim(axis)) continue;
      value_error("attention: ", name, " has shape ", x->shape(), " but q has shape ", q.shape(), "; axis ", axis,
                  " must agree");
    }
  }
  if (same_width && k.dim(-1) != q.dim(-1)) {
    value_error("attention: key has ", k.dim(-1), " features but query has ", q.dim(-1));
  }
  if (v.dim(-2) != k.dim(-2)) {
    value_error("attention: value has ", v.dim(-2), " positions but key has ", k.dim(-2));
  }
  const Index heads = head_count(q), kv_heads = head_count(k);
  if (head_count(v) != kv_heads) {
    value_error("attention: value has ", head_count(v), " heads but key has ", kv_heads);
  }
  if (kv_heads == 0 ? heads != 0 : heads % kv_heads != 0) {
    value_error("attention: query has ", heads, " heads, which is not a multiple of key's ", kv_heads);
  }
}

void check_count(const char* score, const Tensors& params, size_t least, size_t most, const char* what) {
  if (params.size() >= least && params.size() <= most) return;
  value_error("attention: score_params has ", params.size(), " entries but score=\"", score, "\" takes ", what);
}

// Entries [begin, end) of the last axis but one, of an array that may be broadcast along it.
Tensor rows_of(const Tensor& x, Index begin, Index end) {
  if (!x || x.rank() < 2 || x.dim(-2) == 1 || (begin == 0 && end == x.dim(-2))) return x;
  std::vector<SliceAxis> key;
  for (int axis = 0; axis < x.rank(); ++axis) key.push_back({0, x.dim(axis), 1});
  key[static_cast<size_t>(x.rank() - 2)] = {begin, end, 1};
  return slice(x, key);
}

Tensor without_features(const Tensor& x) {
  Shape shape = x.shape();
  shape[-1] = 0;
  return Tensor::empty(shape, x.dtype());
}

// (…, Hkv, S, D) -> (…, H, S, D)
Tensor repeat_heads(const Tensor& x, Index heads) {
  if (x.rank() < 3 || x.dim(-3) == heads) return x;
  const Index group = heads / x.dim(-3);
  if (group == 0) {  // keys that no query head reads
    std::vector<SliceAxis> none;
    for (const Index n : x.shape()) none.push_back({0, n, 1});
    none[static_cast<size_t>(x.rank() - 3)].stop = 0;
    return slice(x, none);
  }
  Shape apart = x.shape().slice(0, x.rank() - 2), wanted = x.shape();
  apart.push_back(1), apart.push_back(x.dim(-2)), apart.push_back(x.dim(-1));
  wanted[-3] = heads;
  return reshape(concatenate(Tensors(static_cast<size_t>(group), reshape(x, apart)), -3), wanted);
}

// A trained factor of the scores, where heads are the third axis from the end.
void check_scale(const Tensor& scale, const Tensor& q) {
  check_float("attention", "scale", scale);
  check_same_dtype("attention", "scale", scale, "q", q);
  dispatch_float("attention", "scale", scale, [&](auto zero) {
    const auto* x = scale.data<decltype(zero)>();
    for (Index n = 0; n < scale.size(); ++n) {
      if (!std::isfinite(x[n])) value_error("attention: scale holds ", x[n], " but must hold finite numbers");
    }
  });
  const Index heads = head_count(q);
  if (scale.size() == 1 && scale.rank() <= 3) return;
  if (q.rank() >= 3 && scale.shape() == Shape{heads, 1, 1}) return;
  value_error("attention: scale has shape ", scale.shape(), " but must be one number or (", heads, ", 1, 1)");
}

// Scores of a block of queries by the caller's function, some keys at a time.
Tensor function_scores(const ScoreFunction& function, const Tensor& q, const Tensor& k) {
  Shape wanted = q.shape();
  wanted[-1] = k.dim(-2);
  if (wanted.size() == 0) {  // nothing to ask; the gradients are zeros
    const Tensor none = Tensor::empty(wanted, q.dtype());
    if (!needs_grad({&q, &k})) return none;
    record("score", {q, k}, {none}, [q, k](const Tensors&) {
      accumulate(q, Tensor::zeros(q.shape(), q.dtype()));
      accumulate(k, Tensor::zeros(k.shape(), k.dtype()));
    });
    return none;
  }
  Tensors parts;
  for (Index begin = 0; begin < k.dim(-2); begin += kFunctionKeys) {
    const Tensor keys = rows_of(k, begin, std::min(k.dim(-2), begin + kFunctionKeys));
    const Tensor scores = function(q, keys);
    check_float("attention", "what score returned", scores);
    check_same_dtype("attention", "what score returned", scores, "q", q);
    wanted[-1] = keys.dim(-2);
    if (!(scores.shape() == wanted)) {
      value_error("attention: score returned shape ", scores.shape(), " for queries ", q.shape(), " and keys ",
                  keys.shape(), " but must return ", wanted);
    }
    parts.push_back(scores);
  }
  return parts.size() == 1 ? parts[0] : concatenate(parts, -1);
}

// s + scores[b, h, i - q_offset, j], and then what `options` make of a score.
ScoreProgramPtr given_scores(const Tensor& scores, const Tensor& q, const AttentionOptions& options) {
  const Index heads = head_count(q), batch = q.shape().product(0, std::max(0, q.rank() - 3));
  ScoreProgram given;
  const int first = options.q_offsets ? given.lookup(options.q_offsets, "q_offset", {given.batch()})
                                      : given.integer(options.q_offset);
  const int row = given.subtract(given.query(), first);
  const Tensor table = reshape(scores, {batch, heads, scores.dim(-2), scores.dim(-1)});
  given.set_result(
      given.add(given.score(), given.lookup(table, "scores", {given.batch(), given.head(), row, given.key()})));
  const ScoreProgram rest = options.program ? *options.program : ScoreProgram();
  return std::make_shared<ScoreProgram>(
      (options.softcap > 0 ? rest.after_softcap(options.softcap) : rest).after(given));
}

// scores(q block) for some queries at a time, as the bias of an attention without products.
template <typename Scores>
AttentionResult attend_by_blocks(const Tensor& q, const Tensor& k, const Tensor& v, Index rows, const Scores& scores,
                                 const AttentionOptions& options, bool return_weights) {
  const Index length = q.dim(-2);
  const Tensor keys = without_features(k);
  Tensors outs, weights;
  Index begin = 0;
  do {
    const Index end = std::min(length, begin + rows);
    const Tensor block = rows_of(q, begin, end);
    AttentionOptions one = options;
    one.scale = 1;
    one.q_offset = options.q_offset + begin;
    one.rule_row = options.rule_row + begin;
    if (options.q_offsets && begin > 0) {
      one.q_offsets = options.q_offsets.clone();
      for (Index b = 0; b < one.q_offsets.size(); ++b) one.q_offsets.data<std::int64_t>()[b] += begin;
    }
    one.mask = rows_of(options.mask, begin, end);
    const Tensor made = scores(block);
    if (options.bias) one.bias = rows_of(options.bias, begin, end);
    if ((options.program || options.softcap > 0) && made.size() > 0) {
      one.program = given_scores(made, block, one);
      one.softcap = 0;
    } else {
      one.bias = one.bias ? add(made, one.bias) : made;
    }
    const AttentionResult result = scaled_dot_product(without_features(block), keys, v, one, return_weights);
    outs.push_back(result.out);
    if (return_weights) weights.push_back(result.weights);
    begin = end;
  } while (begin < length);
  if (outs.size() == 1) return {outs[0], return_weights ? weights[0] : Tensor()};
  return {concatenate(outs, -2), return_weights ? concatenate(weights, -2) : Tensor()};
}

// A mask or bias must fit before it is cut into blocks.
void check_broadcast(const char* name, const Tensor& x, const Tensor& q, const Tensor& k) {
  if (!x) return;
  Shape wanted = q.shape(), out;
  wanted[-1] = k.dim(-2);
  if (!try_broadcast(x.shape(), wanted, out) || !(out == wanted)) {
    value_error("attention: ", name, " has shape ", x.shape(), ", which does not broadcast to the weights' shape ",
                wanted);
  }
}

}  // namespace

Score::Kind score_kind(const std::string& name) {
  const std::pair<const char*, Score::Kind> kinds[] = {{"dot", Score::kDot},         {"scaled_dot", Score::kScaledDot},
                                                       {"general", Score::kGeneral}, {"additive", Score::kAdditive},
                                                       {"cosine", Score::kCosine},   {"kernel", Score::kKernel}};
  for (const auto& [known, kind] : kinds) {
    if (name == known) return kind;
  }
  value_error("attention: score is '", name,
              "' but must be 'dot', 'scaled_dot', 'general', 'additive', 'cosine', 'kernel' or a function");
}

AttentionResult attend_with_score(const Tensor& q_in, const Tensor& k_in, const Tensor& v, const Score& score,
                                  AttentionOptions options, bool return_weights) {
  using Kind = Score::Kind;
  const Kind kind = score.kind;
  const bool free_width =
      kind == Score::kGeneral || kind == Score::kFunction || (kind == Score::kAdditive && score.params.size() != 1);
  check_inputs(q_in, k_in, v, !free_width);
  check_broadcast("mask", options.mask, q_in, k_in);
  if (options.bias) {
    check_float("attention", "bias", options.bias);
    check_same_dtype("attention", "bias", options.bias, "q", q_in);
    check_broadcast("bias", options.bias, q_in, k_in);
  }
  if (options.scale && !std::isfinite(*options.scale)) {
    value_error("attention: scale is ", *options.scale, " but must be a finite number");
  }
  if (score.scale) check_scale(score.scale, q_in);
  if (score.norm.norm != QkNorm::kNone && kind == Score::kCosine) {
    value_error("attention: qk_norm normalises what score=\"cosine\" normalises already; leave one of them out");
  }
  if (score.norm.norm == QkNorm::kL2 && kind == Score::kScaledDot && !options.scale && !score.scale) {
    value_error(
        "attention: qk_norm=\"l2\" leaves scores between -1 and 1, which 1/√D would make all but equal: give scale=");
  }
  auto [q, k] = qk_norm(q_in, k_in, score.norm);

  if (kind == Score::kAdditive || kind == Score::kKernel) {
    Tensor w;
    if (kind == Score::kAdditive) {
      const size_t least = score.params.size() == 2 ? 3 : 1;
      check_count("additive", score.params, least, 4, "(W_q, W_k, v_a), (W_q, W_k, v_a, b) or (v_a,)");
      AdditiveWeights weights;
      if (score.params.size() == 1) {
        weights.v_a = score.params[0];
      } else {
        weights.w_q = score.params[0], weights.w_k = score.params[1], weights.v_a = score.params[2];
        if (score.params.size() > 3) weights.b = score.params[3];
      }
      check_additive(q, k, weights);
      if (weights.w_q) {
        q = project_rows(q, weights.w_q, weights.b);
        k = project_rows(k, weights.w_k, Tensor());
      }
      w = weights.v_a;
    } else {
      check_count("kernel", score.params, 1, 1, "(bandwidth,)");
      w = kernel_weights(q, score.params[0]);
    }
    if (score.scale)
      w = multiply(w, score.scale.size() == 1 ? reshape(score.scale, {1}) : reshape(score.scale, {-1, 1}));
    if (options.scale && *options.scale != 1) w = scale(w, *options.scale);
    const PairScore pair = kind == Score::kAdditive ? PairScore::kAdditive : PairScore::kGaussian;
    const Index others = std::max<Index>(1, q.shape().product(0, q.rank() - 2) * k.dim(-2));
    const Index rows = std::max(kMinRows, kBlockScores / others / kMinRows * kMinRows);
    return attend_by_blocks(
        q, k, v, rows, [&, &keys = k](const Tensor& block) { return pair_scores(pair, block, keys, w); }, options,
        return_weights);
  }
  if (kind == Score::kFunction) {
    if (!score.params.empty()) {
      value_error("attention: score_params is for the scores that have a name; a function brings its own");
    }
    const Tensor keys = repeat_heads(k, head_count(q));
    auto scores = [&](const Tensor& block) {
      Tensor s = function_scores(score.function, block, keys);
      if (score.scale) s = multiply(s, score.scale);
      return options.scale && *options.scale != 1 ? scale(s, *options.scale) : s;
    };
    return attend_by_blocks(q, k, v, kFunctionRows, scores, options, return_weights);
  }

  if (kind == Score::kGeneral) {
    check_count("general", score.params, 1, 1, "(W,)");
    q = general_queries(q, k, score.params[0]);
  } else {
    const char* name = kind == Score::kDot ? "dot" : kind == Score::kCosine ? "cosine" : "scaled_dot";
    check_count(name, score.params, 0, 0, "none");
  }
  if (kind == Score::kCosine) std::tie(q, k) = cosine_rows(q, k);
  if (score.scale) q = multiply(q, score.scale);
  if (score.scale) options.scale = 1;
  if (kind != Score::kScaledDot && !options.scale) options.scale = 1;
  return scaled_dot_product(q, k, v, options, return_weights);
}

AttentionResult attend_one_head(const Tensor& q, const Tensor& k, const Tensor& v, const Score& score,
                                AttentionOptions options, bool return_weights) {
  // (…, N, D) -> (…, 1, N, D), and with a batch of one where there is none
  auto with_head = [&](const Tensor& x) {
    Shape shape = q.rank() == 2 ? Shape{1} : x.shape().slice(0, x.rank() - 2);
    shape.push_back(1), shape.push_back(x.dim(-2)), shape.push_back(x.dim(-1));
    return reshape(x, shape);
  };
  auto without_head = [&](const Tensor& x) {
    Shape shape = q.shape().slice(0, q.rank() - 1);
    shape.push_back(x.dim(-1));
    return reshape(x, shape);
  };
  // What a Mask was written out to has the axis already.
  if (options.mask && q.rank() > 2 && options.mask.rank() == q.rank()) options.mask = with_head(options.mask);
  if (options.bias && q.rank() > 2 && options.bias.rank() == q.rank()) options.bias = with_head(options.bias);
  for (const auto& [name, x] : {std::pair{"q", &q}, std::pair{"k", &k}, std::pair{"v", &v}}) {
    check_min_rank("attention", name, *x, 2, "(..., length, features)");
    if (x->rank() != q.rank()) {
      value_error("attention: ", name, " has shape ", x->shape(), " but q has shape ", q.shape(),
                  "; they must have as many axes");
    }
  }
  AttentionResult result = attend_with_score(with_head(q), with_head(k), with_head(v), score, options, return_weights);
  result.out = without_head(result.out);
  if (return_weights) result.weights = without_head(result.weights);
  return result;
}

}  // namespace attendo

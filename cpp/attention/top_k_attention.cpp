// Top-k attention: every row of weights is pruned to the k largest scores
//
//   s_ij = scale q_i·k_j      K_i = the keep largest of the allowed s_ij, of equals the first
//   P_ij = softmax over K_i of s_ij      o_i = Σ_{j in K_i} P_ij v_j
//
//   backward   dP_ij = do_i·v_j (+ the gradient of the weights)      dS_ij = P_ij (dP_ij - Σ_j P_ij dP_ij)
//              dq_i = scale Σ_j dS_ij k_j   dk_j = scale Σ_i dS_ij q_i   dv_j = Σ_i P_ij do_i     all over K_i alone
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  The choice of K_i has no gradient: it is constant but where two
// scores change places. A row in which an allowed score is NaN gives NaN. Scores are made block by block and not kept; kept
// are the indices and the weights, k of each row.   Gupta et al. 2021; article 003 §8.4 (pruning).
#include "attention/top_k_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "attention/heads.h"
#include "core/cost.h"
#include "core/parallel.h"
#include "ops/gemm.h"

namespace attendo {
namespace {

constexpr Index kBlockRows = 128;  // queries whose scores are in memory at once

struct TopKProblem {
  Tensor q, k, v, key_lengths;
  Heads heads;
  Index keep = 1;
  double scale = 1;
  bool causal = false;
  Index q_offset = 0;

  // Query i of batch entry b may attend to the keys below this.
  Index limit(Index b, Index i) const {
    const Index n = length_of(key_lengths, b, heads.keys);
    return causal ? std::clamp<Index>(i + q_offset + 1, 0, n) : n;
  }
  Index kv_of(Index bh) const { return bh / heads.heads * heads.kv_heads + bh % heads.heads / heads.group(); }
};

template <typename T>
struct Scored {
  T score;
  std::int32_t key;
  bool operator<(const Scored& other) const {  // the better one first
    return score != other.score ? score > other.score : key < other.key;
  }
};

// How many of n are no less than the bound. Whole numbers, so that the compiler takes several at once.
template <typename T>
int count_from(const T* x, Index n, T bound) {
  int count = 0;
  for (Index i = 0; i < n; ++i) count += x[i] >= bound ? 1 : 0;
  return count;
}

// Room for choosing among the scores of a row.
template <typename T>
struct Choice {
  std::vector<T> best;
  std::vector<Scored<T>> candidates, ranked;
};

// The keys of the `keep` largest of n scores, ascending; n > keep, none is NaN.
template <typename T>
void choose(std::int64_t* keys, Choice<T>& choice, const T* scores, Index n, Index keep) {
  T bound = -std::numeric_limits<T>::infinity();
  if (const Index groups = 4 * keep; 2 * groups <= n) {
    // The largest score of each group. A number that `keep` of them are no less than is a bound; it need not be the nearest.
    auto& best = choice.best;
    best.assign(scores, scores + groups);
    for (Index begin = groups; begin < n; begin += groups) {
      const Index count = std::min(groups, n - begin);
      const T* x = scores + begin;
      T* y = best.data();
      for (Index i = 0; i < count; ++i) y[i] = x[i] > y[i] ? x[i] : y[i];
    }
    const auto [low, high] = std::minmax_element(best.begin(), best.end());
    T above = *high;
    bound = *low;
    for (int step = 0; step < 12 && above - bound < std::numeric_limits<T>::infinity(); ++step) {
      const T middle = bound + (above - bound) / 2;
      (count_from(best.data(), groups, middle) >= keep ? bound : above) = middle;
    }
  }
  constexpr Index kStretch = 32;
  auto& candidates = choice.candidates;
  candidates.clear();
  for (Index begin = 0; begin < n; begin += kStretch) {
    const Index end = std::min(n, begin + kStretch);
    if (count_from(scores + begin, end - begin, bound) == 0) continue;
    for (Index j = begin; j < end; ++j) {
      if (scores[j] >= bound) candidates.push_back({scores[j], static_cast<std::int32_t>(j)});
    }
  }
  auto& ranked = choice.ranked;
  ranked = candidates;
  std::nth_element(ranked.begin(), ranked.begin() + (keep - 1), ranked.end());
  const Scored<T> last = ranked[static_cast<size_t>(keep - 1)];
  for (const Scored<T>& one : candidates) {
    if (!(last < one)) *keys++ = one.key;
  }
}

// Scales n scores, chooses among them (where one is NaN: the first) and makes weights of the chosen: their softmax, or NaN.
template <typename T>
Index weigh(std::int64_t* keys, T* weights, Choice<T>& choice, T* scores, Index n, Index keep, T scale) {
  int nan = 0;
  for (Index j = 0; j < n; ++j) {
    scores[j] *= scale;
    nan |= scores[j] != scores[j] ? 1 : 0;
  }
  const Index kept = std::min(n, keep);
  if (nan == 0 && kept < n) {
    choose(keys, choice, scores, n, keep);
  } else {
    std::iota(keys, keys + kept, std::int64_t{0});
  }
  if (nan != 0) {
    std::fill_n(weights, kept, std::numeric_limits<T>::quiet_NaN());
    return kept;
  }
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  T most = kLowest, sum = 0;
  for (Index e = 0; e < kept; ++e) most = std::max(most, scores[keys[e]]);
  for (Index e = 0; e < kept; ++e) {
    weights[e] = most == kLowest ? T(0) : std::exp(scores[keys[e]] - most);
    sum += weights[e];
  }
  for (Index e = 0; e < kept; ++e) weights[e] = sum == T(0) ? T(0) : weights[e] / sum;
  return kept;
}

// keys, weights: (B, H, L, keep), keys -1 and weights 0 where fewer may be attended.  dense: (B, H, L, S) of zeros, or null.
template <typename T>
void top_k_forward(T* out, std::int64_t* keys, T* weights, T* dense, const TopKProblem& p) {
  const Heads& s = p.heads;
  const Index blocks = (s.length + kBlockRows - 1) / kBlockRows;
  count_multiply_adds(s.batch * s.heads * s.length * p.keep * s.d_v);
  parallel_for(s.batch * s.heads * blocks, [&](Index unit) {
    const Index bh = unit / blocks, b = bh / s.heads, begin = unit % blocks * kBlockRows;
    const Index rows = std::min(kBlockRows, s.length - begin), columns = p.limit(b, begin + rows - 1);
    const T* v = p.v.data<T>() + p.kv_of(bh) * s.keys * s.d_v;
    Scratch<T> scores(static_cast<size_t>(rows * columns));
    if (columns > 0) {
      Gemm<T> g;
      g.m = rows, g.n = columns, g.k = s.d;
      g.a = p.q.data<T>() + (bh * s.length + begin) * s.d, g.a_row = s.d;
      g.b = p.k.data<T>() + p.kv_of(bh) * s.keys * s.d, g.b_row = 1, g.b_col = s.d;
      g.c = scores.get(), g.c_row = columns;
      gemm(g);
    }
    Choice<T> choice;
    for (Index i = 0; i < rows; ++i) {
      const Index row = bh * s.length + begin + i, n = p.limit(b, begin + i);
      T* score = scores.get() + i * columns;
      std::int64_t* key = keys + row * p.keep;
      T* weight = weights + row * p.keep;
      const Index kept = n > 0 ? weigh(key, weight, choice, score, n, p.keep, static_cast<T>(p.scale)) : 0;
      std::fill(key + kept, key + p.keep, std::int64_t{-1});
      std::fill(weight + kept, weight + p.keep, T(0));
      T* o = out + row * s.d_v;
      std::fill_n(o, s.d_v, T(0));
      for (Index e = 0; e < kept; ++e) {
        const T* value = v + key[e] * s.d_v;
        for (Index c = 0; c < s.d_v; ++c) o[c] += weight[e] * value[c];
        if (dense != nullptr) dense[row * s.keys + key[e]] = weight[e];
      }
    }
  });
}

// d_q, d_k, d_v: zeroed. d_dense: (B, H, L, S) or null.
template <typename T>
void top_k_backward(T* d_q, T* d_k, T* d_v, const T* d_out, const T* d_dense, const std::int64_t* keys,
                    const T* weights, const TopKProblem& p) {
  const Heads& s = p.heads;
  count_multiply_adds(s.batch * s.heads * s.length * p.keep * 2 * (s.d + s.d_v));
  parallel_for(s.batch * s.kv_heads, [&](Index kv) {  // every key and value has one owner
    const T *k = p.k.data<T>() + kv * s.keys * s.d, *v = p.v.data<T>() + kv * s.keys * s.d_v;
    T *dk = d_k + kv * s.keys * s.d, *dv = d_v + kv * s.keys * s.d_v;
    std::vector<T> d_score(static_cast<size_t>(p.keep));
    for (Index member = 0; member < s.group() * s.length; ++member) {
      const Index row = kv * s.group() * s.length + member;  // the heads of a group lie side by side
      const std::int64_t* key = keys + row * p.keep;
      const T *weight = weights + row * p.keep, *d_o = d_out + row * s.d_v, *q = p.q.data<T>() + row * s.d;
      T* dq = d_q + row * s.d;
      T mean = 0;
      Index kept = 0;
      for (; kept < p.keep && key[kept] >= 0; ++kept) {
        const T* value = v + key[kept] * s.d_v;
        T* d_value = dv + key[kept] * s.d_v;
        T d = d_dense == nullptr ? T(0) : d_dense[row * s.keys + key[kept]];
        for (Index c = 0; c < s.d_v; ++c) {
          d += d_o[c] * value[c];
          d_value[c] += weight[kept] * d_o[c];
        }
        d_score[static_cast<size_t>(kept)] = d;
        mean += weight[kept] * d;
      }
      for (Index e = 0; e < kept; ++e) {
        const T d = weight[e] * (d_score[static_cast<size_t>(e)] - mean) * static_cast<T>(p.scale);
        const T* from = k + key[e] * s.d;
        T* to = dk + key[e] * s.d;
        for (Index c = 0; c < s.d; ++c) {
          dq[c] += d * from[c];
          to[c] += d * q[c];
        }
      }
    }
  });
}

}  // namespace

AttentionResult top_k_attention(const Tensor& q, const Tensor& k, const Tensor& v, const TopKOptions& options,
                                bool return_weights) {
  TopKProblem p;
  p.q = q, p.k = k, p.v = v, p.key_lengths = options.key_lengths;
  p.heads = check_heads("top_k_attention", q, k, v);
  const Heads& s = p.heads;
  p.scale = scale_or_default("top_k_attention", options.scale, s.d);
  check_lengths("top_k_attention", "lengths", options.key_lengths, s.batch, s.keys, "the number of keys");
  if (options.keep < 1) value_error("top_k_attention: keep is ", options.keep, " but must be 1 or more");
  if (s.keys > std::numeric_limits<std::int32_t>::max()) {
    value_error("top_k_attention: k has ", s.keys, " positions, which is too many");
  }
  p.keep = std::min(options.keep, std::max<Index>(1, s.keys));
  p.causal = options.causal, p.q_offset = options.q_offset;

  const Index rows = s.batch * s.heads * s.length;
  AttentionResult result;
  result.out = Tensor::zeros(with_heads(q.shape(), s.heads, s.length, s.d_v), q.dtype());
  if (return_weights) result.weights = Tensor::zeros(with_heads(q.shape(), s.heads, s.length, s.keys), q.dtype());
  const Tensor keys = Tensor::empty({rows, p.keep}, DType::kInt64), weights = Tensor::empty({rows, p.keep}, q.dtype());
  dispatch_float("top_k_attention", "q", q, [&](auto zero) {
    using T = decltype(zero);
    top_k_forward<T>(result.out.data<T>(), keys.data<std::int64_t>(), weights.data<T>(),
                     data_or_null<T>(result.weights), p);
  });
  if (!needs_grad({&q, &k, &v})) return result;
  Tensors outputs{result.out};
  if (return_weights) outputs.push_back(result.weights);
  record("top_k_attention", {q, k, v}, outputs, [p, keys, weights, shape = result.out.shape()](const Tensors& d) {
    const Tensor d_out = d[0] ? d[0] : Tensor::zeros(shape, p.q.dtype());
    const Tensor d_dense = d.size() > 1 ? d[1] : Tensor();
    const Tensor d_q = Tensor::zeros(p.q.shape(), p.q.dtype()), d_k = Tensor::zeros(p.k.shape(), p.q.dtype()),
                 d_v = Tensor::zeros(p.v.shape(), p.q.dtype());
    dispatch_float("top_k_attention", "q", p.q, [&](auto zero) {
      using T = decltype(zero);
      top_k_backward<T>(d_q.data<T>(), d_k.data<T>(), d_v.data<T>(), d_out.data<T>(), data_or_null<T>(d_dense),
                        keys.data<std::int64_t>(), weights.data<T>(), p);
    });
    accumulate(p.q, d_q);
    accumulate(p.k, d_k);
    accumulate(p.v, d_v);
  });
  return result;
}

}  // namespace attendo

// Linear attention: a state of fixed size in place of all keys and values
//
//   linear        S_t = S_{t-1} + k_t v_tᵀ                                            o_t = scale S_tᵀ q_t
//   gated         S_t = diag(e^{g_t}) S_{t-1} + k_t v_tᵀ
//   delta         S_t = S_{t-1} + β_t k_t (v_t - S_{t-1}ᵀ k_t)ᵀ
//   gated delta   S~  = diag(e^{g_t}) S_{t-1}     S_t = S~ + β_t k_t (v_t - S~ᵀ k_t)ᵀ
//   normalized    o_t = S_tᵀ φ(q_t) / (φ(q_t)·z_t),   z_t = e^{g_t} z_{t-1} + φ(k_t):  z is S's column of a value that is 1
//   not causal    S = Σ_j φ(k_j) v_jᵀ for every query
//
//   backward      dS_{t-1} = diag(e^{g_t}) (dS_t - β_t k_t (dS_tᵀ k_t)ᵀ)   with dS_t += scale q_t do_tᵀ first, and from dS_t to
//                 k_t, v_t, g_t and β_t; here chunk by chunk: linear_attention_chunks.h
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  g: (B, Hkv, S) or (B, Hkv, S, D).  β: (B, Hkv, S).
// S: (B, Hkv, D, Dv).  Head h reads state h / (H / Hkv).  Kept for backward: the inputs; the states are computed again.
// Katharopoulos et al. 2020, eq. 9-12, 16-20; Schlag et al. 2021, eq. 24; Yang et al. 2024 (chunks); ONNX LinearAttention.
#include "attention/linear_attention.h"

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "attention/linear_attention_chunks.h"
#include "core/cost.h"
#include "core/parallel.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kMostChunk = 512;
constexpr Index kFeatureChunk =
    16;                         // with a decay for each feature: its products within a chunk are not matrix products
constexpr Index kTasks = 8;     // value columns are cut until there are so many
constexpr Index kColumns = 16;  // but not below a few vectors
constexpr Index kTaskWork = 400000;
constexpr Index kGrain = 1 << 15;

// ---- small operations -----------------------------------------------------------------------------------------------

// elu(x) + 1: x + 1 above 0, e^x below.   dx = dy min(y, 1)
Tensor elu_plus_one(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float("linear_attention", "x", x, [&](auto zero) {
    using T = decltype(zero);
    T* to = y.data<T>();
    const T* from = x.data<T>();
    parallel_ranges(x.size(), kGrain, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) to[i] = from[i] > T(0) ? T(0) : from[i];
      kernels::row_kernels<T>().exp(to + begin, to + begin, end - begin);
      for (Index i = begin; i < end; ++i) to[i] += from[i] > T(0) ? from[i] : T(0);
    });
  });
  if (!needs_grad({&x})) return y;
  record("elu_plus_one", {x}, {y}, [x, saved = y.detach()](const Tensors& d) {
    const Tensor d_x = Tensor::empty(saved.shape(), saved.dtype());
    dispatch_float("linear_attention", "x", saved, [&](auto zero) {
      using T = decltype(zero);
      T* to = d_x.data<T>();
      const T *d_y = d[0].data<T>(), *value = saved.data<T>();
      parallel_ranges(saved.size(), kGrain, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) to[i] = d_y[i] * (value[i] > T(1) ? T(1) : value[i]);
      });
    });
    accumulate(x, d_x);
  });
  return y;
}

// x (batch, heads, length, n): 0 from each batch entry's length on, whatever stood there.
template <typename T>
void copy_without_padding(T* to, const T* from, const std::int64_t* lengths, Index batch, Index heads, Index length,
                          Index n) {
  parallel_ranges(batch * heads, std::max<Index>(1, kGrain / std::max<Index>(1, length * n)),
                  [&](Index begin, Index end) {
                    for (Index i = begin; i < end; ++i) {
                      const Index kept = lengths[i / heads] * n, at = i * length * n;
                      std::copy_n(from + at, kept, to + at);
                      std::fill_n(to + at + kept, length * n - kept, T(0));
                    }
                  });
}

// A sum of weights as small as this is made of numbers that were rounded to 0; its inverse would overflow further on.
template <typename T>
bool no_weight(T sum) {
  return std::abs(sum) < std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
}

// (…, n + 1) -> (…, n): the first n by the last, and 0 where there is no weight.   dx_j = dy_j / x_n    dx_n = -Σ_j dy_j y_j / x_n
Tensor divide_by_last(const Tensor& x) {
  Shape shape = x.shape();
  const Index n = --shape[-1], rows = shape.product(0, shape.rank() - 1);
  const Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float("linear_attention", "x", x, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(rows, rows_per_task(2 * n + 2), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const T* from = x.data<T>() + i * (n + 1);
        T* to = y.data<T>() + i * n;
        if (no_weight(from[n])) {
          std::fill_n(to, n, T(0));
          continue;
        }
        for (Index j = 0; j < n; ++j) to[j] = from[j] / from[n];
      }
    });
  });
  if (!needs_grad({&x})) return y;
  record("normalized linear attention", {x}, {y}, [x, y = y.detach(), n, rows](const Tensors& d) {
    const Tensor d_x = Tensor::empty(x.shape(), x.dtype());
    dispatch_float("linear_attention", "x", x, [&](auto zero) {
      using T = decltype(zero);
      parallel_ranges(rows, rows_per_task(3 * n + 3), [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
          const T divisor = x.data<T>()[i * (n + 1) + n];
          const T *d_y = d[0].data<T>() + i * n, *value = y.data<T>() + i * n;
          T* to = d_x.data<T>() + i * (n + 1);
          if (no_weight(divisor)) {
            std::fill_n(to, n + 1, T(0));
            continue;
          }
          T dot = 0;
          for (Index j = 0; j < n; ++j) {
            to[j] = d_y[j] / divisor;
            dot += to[j] * value[j];
          }
          to[n] = -dot;
        }
      });
    });
    accumulate(x, d_x);
  });
  return y;
}

// ---- the scan -------------------------------------------------------------------------------------------------------

struct Scan {
  Heads s;
  Tensor q, k, v, decay, beta, state;  // decay, beta and state may be absent
  DecayKind decay_kind = DecayKind::kNone;
  double scale = 1;
  Index chunk = 64;

  Index pairs() const { return s.batch * s.kv_heads; }
  Index group() const { return s.kv_heads == 0 ? 0 : s.heads / s.kv_heads; }
  Index decays() const { return decay_kind == DecayKind::kFeature ? s.d : 1; }
  // Few heads: ranges of value columns, which do not meet in the state, go to several threads.
  Index columns() const {
    const Index blocks = (kTasks + pairs() - 1) / std::max<Index>(1, pairs());
    const Index even = (s.d_v + blocks - 1) / blocks;
    return std::max(kColumns, (even + kColumns - 1) / kColumns * kColumns);
  }
  Index blocks() const { return (s.d_v + columns() - 1) / columns(); }
  // Of the recurrence: each position writes to the state (the delta rule reads there first), and each query reads it.
  Index multiply_adds() const { return pairs() * s.keys * s.d * s.d_v * ((beta ? 2 : 1) + group()); }
  Index work() const { return s.keys * s.d * columns() * (2 + 2 * group()); }  // of one pair and block
};

// The head of a pair, its value columns from `column` on.
template <typename T>
LinearHead<T> head_of(const Scan& p, Index pair, Index column) {
  const Heads& s = p.s;
  LinearHead<T> h;
  h.length = s.keys, h.group = p.group(), h.d = s.d, h.v_row = s.d_v;
  h.d_v = std::min(p.columns(), s.d_v - column);
  h.decay_kind = p.decay_kind, h.scale = static_cast<T>(p.scale);
  h.q = p.q.data<T>() + pair * h.group * s.length * s.d;
  h.k = p.k.data<T>() + pair * s.keys * s.d;
  h.v = p.v.data<T>() + pair * s.keys * s.d_v + column;
  if (p.decay) h.decay = p.decay.data<T>() + pair * s.keys * p.decays();
  if (p.beta) h.beta = p.beta.data<T>() + pair * s.keys;
  if (p.state) h.state = p.state.data<T>() + pair * s.d * s.d_v + column;
  return h;
}

template <typename T>
void scan_forward(T* out, T* state, const Scan& p) {
  count_multiply_adds(p.multiply_adds());
  const Heads& s = p.s;
  const Index grain = std::max<Index>(1, kTaskWork / std::max<Index>(1, p.work()));
  parallel_ranges(p.pairs() * p.blocks(), grain, [&](Index begin, Index end) {
    for (Index unit = begin; unit < end; ++unit) {
      const Index pair = unit / p.blocks(), column = unit % p.blocks() * p.columns();
      LinearHead<T> head = head_of<T>(p, pair, column);
      head.out = out + pair * p.group() * s.length * s.d_v + column;
      head.last_state = state + pair * s.d * s.d_v + column;
      LinearChunks<T>(head, p.chunk, false).forward();
    }
  });
}

// Gradients of everything: `d` is (q, k, v, decay, beta, state), null where there is no such input but for the state.
template <typename T>
void scan_backward(const std::array<T*, 6>& d, const T* d_out, const T* d_state, const Scan& p) {
  count_multiply_adds(2 * p.multiply_adds());
  const Heads& s = p.s;
  // Blocks of columns each have their part of these four, which are added in order.
  const std::array<Index, 4> sizes{p.pairs() * p.group() * s.length * s.d, p.pairs() * s.keys * s.d,
                                   p.decay ? p.pairs() * s.keys * p.decays() : 0, p.beta ? p.pairs() * s.keys : 0};
  const std::array<T*, 4> totals{d[0], d[1], d[3], d[4]};
  const Index size = sizes[0] + sizes[1] + sizes[2] + sizes[3];
  const Scratch<T> parts(static_cast<size_t>((p.blocks() - 1) * size));
  const auto part = [&](Index block, size_t which) {
    if (block == 0) return totals[which];
    T* at = parts.get() + (block - 1) * size;
    for (size_t i = 0; i < which; ++i) at += sizes[i];
    return at;
  };
  const Index grain = std::max<Index>(1, kTaskWork / std::max<Index>(1, 3 * p.work()));
  parallel_ranges(p.pairs() * p.blocks(), grain, [&](Index begin, Index end) {
    for (Index unit = begin; unit < end; ++unit) {
      const Index pair = unit / p.blocks(), block = unit % p.blocks(), column = block * p.columns();
      const LinearHead<T> head = head_of<T>(p, pair, column);
      LinearHeadGradient<T> g;
      g.d_out = d_out + pair * p.group() * s.length * s.d_v + column;
      if (d_state != nullptr) g.d_last_state = d_state + pair * s.d * s.d_v + column;
      g.d_q = part(block, 0) + pair * p.group() * s.length * s.d;
      g.d_k = part(block, 1) + pair * s.keys * s.d;
      g.d_v = d[2] + pair * s.keys * s.d_v + column;
      if (p.decay) g.d_decay = part(block, 2) + pair * s.keys * p.decays();
      if (p.beta) g.d_beta = part(block, 3) + pair * s.keys;
      g.d_state = d[5] + pair * s.d * s.d_v + column;
      LinearChunks<T>(head, p.chunk, true).backward(g);
    }
  });
  const auto add_into = kernels::gemm_kernels<T>().add_into;
  for (size_t i = 0; i < 4; ++i) {
    parallel_ranges(p.blocks() > 1 ? sizes[i] : 0, kGrain, [&](Index begin, Index end) {
      for (Index block = 1; block < p.blocks(); ++block) {
        add_into(totals[i] + begin, part(block, i) + begin, end - begin);
      }
    });
  }
}

// out (…, H, L, Dv) and the last state; nothing in p is empty but perhaps the batch, the heads or the length.
LinearAttentionResult scan(const Scan& p, const Shape& state_shape) {
  Shape shape = p.q.shape();
  shape[-1] = p.s.d_v;
  LinearAttentionResult y{Tensor::empty(shape, p.q.dtype()), Tensor::empty(state_shape, p.q.dtype())};
  dispatch_float("linear_attention", "q", p.q, [&](auto zero) {
    using T = decltype(zero);
    scan_forward(y.out.data<T>(), y.state.data<T>(), p);
  });
  if (!needs_grad({&p.q, &p.k, &p.v, &p.decay, &p.beta, &p.state})) return y;
  record("linear_attention", {p.q, p.k, p.v, p.decay, p.beta, p.state}, {y.out, y.state},
         [p, shape, state_shape](const Tensors& d) {
           const DType dtype = p.q.dtype();
           const Tensor d_out = d[0] ? d[0] : Tensor::zeros(shape, dtype);
           const std::array<const Tensor*, 6> inputs{&p.q, &p.k, &p.v, &p.decay, &p.beta, &p.state};
           std::array<Tensor, 6> grads;
           for (size_t i = 0; i < 5; ++i) {
             if (*inputs[i]) grads[i] = Tensor::empty(inputs[i]->shape(), dtype);
           }
           grads[5] = Tensor::empty(state_shape, dtype);
           dispatch_float("linear_attention", "q", p.q, [&](auto zero) {
             using T = decltype(zero);
             std::array<T*, 6> to{};
             for (size_t i = 0; i < 6; ++i) to[i] = data_or_null<T>(grads[i]);
             scan_backward<T>(to, d_out.data<T>(), data_or_null<T>(d[1]), p);
           });
           for (size_t i = 0; i < 6; ++i) accumulate(*inputs[i], grads[i]);
         });
  return y;
}

// ---- checks ---------------------------------------------------------------------------------------------------------

// A gate in the shape it is used in: (…, Hkv, S), and (…, Hkv, S, D) where that is offered. One head may stand for all,
// and the last axis may be there with length 1.
Tensor gate(const char* op, const char* name, const Tensor& x, const Tensor& k, bool per_feature) {
  check_float(op, name, x);
  check_same_dtype(op, name, x, "q", k);
  const Shape tokens = k.shape().slice(0, k.rank() - 1);
  const Shape own = x.rank() == k.rank() && x.dim(-1) == 1 ? x.shape().slice(0, x.rank() - 1) : x.shape();
  const Shape wanted = per_feature && own.rank() == k.rank() ? k.shape() : tokens;
  bool fits = own.rank() == wanted.rank();
  for (int axis = 0; fits && axis < own.rank(); ++axis) {
    fits = own[axis] == wanted[axis] || (own[axis] == 1 && axis == k.rank() - 3);
  }
  if (!fits && per_feature) {
    value_error(op, ": ", name, " has shape ", x.shape(), " but must have shape ", tokens, " or ", k.shape());
  }
  if (!fits) value_error(op, ": ", name, " has shape ", x.shape(), " but must have shape ", tokens);
  const Tensor y = own == x.shape() ? x : reshape(x, own);
  return own == wanted ? y : add(y, Tensor::zeros(wanted, x.dtype()));
}

const char* name_of(LinearRule rule) {
  switch (rule) {
    case LinearRule::kLinear: return "linear";
    case LinearRule::kGated: return "gated";
    case LinearRule::kDelta: return "delta";
    default: return "gated_delta";
  }
}

void check_options(const char* op, const LinearAttentionOptions& o, const Heads& s) {
  const bool gated = o.rule == LinearRule::kGated || o.rule == LinearRule::kGatedDelta;
  const bool delta = o.rule == LinearRule::kDelta || o.rule == LinearRule::kGatedDelta;
  const std::string rule = concat("rule '", name_of(o.rule), "'");
  if (gated && !o.decay) value_error(op, ": decay is missing, which ", rule, " needs");
  if (delta && !o.beta) value_error(op, ": beta is missing, which ", rule, " needs");
  if (!gated && o.decay) value_error(op, ": decay is given, but ", rule, " has none; use 'gated' or 'gated_delta'");
  if (!delta && o.beta) value_error(op, ": beta is given, but ", rule, " has none; use 'delta' or 'gated_delta'");
  if (delta && o.normalize) {
    value_error(op, ": normalize divides by a sum of positive weights, and with ", rule,
                " there is no such sum: what a key writes depends on what is there");
  }
  if (!o.causal && o.rule != LinearRule::kLinear) {
    value_error(op, ": causal is False, but ", rule, " goes from one token to the next; only 'linear' has no order");
  }
  if (o.normalize && o.scale) value_error(op, ": scale is given, but with normalize it cancels out");
  if (o.scale && !std::isfinite(*o.scale)) value_error(op, ": scale is ", *o.scale, " but must be a finite number");
  if (o.causal && s.length != s.keys) {
    value_error(op, ": query has ", s.length, " positions and key has ", s.keys,
                "; they must be as many unless causal is False: token by token, each brings a query and a key");
  }
  if (o.chunk_size < 1) value_error(op, ": chunk_size is ", o.chunk_size, " but must be 1 or more");
  check_lengths(op, "lengths", o.key_lengths, s.batch, s.keys, "the number of keys");
}

Tensor features(const Tensor& x, FeatureMap map) {
  switch (map) {
    case FeatureMap::kElu: return elu_plus_one(x);
    case FeatureMap::kRelu: return relu(x);
    default: return x;
  }
}

// Σ_j k_j v_jᵀ, read by every query. q (…, H, L, D) seen as (…, Hkv, group L, D).
LinearAttentionResult all_at_once(const Scan& p, const Shape& state_shape) {
  Tensor state = matmul(swap_axes(p.k, -1, -2), p.v);
  if (p.state) state = add(p.state, state);
  Shape shape = p.q.shape(), grouped = state_shape;
  shape[-1] = p.s.d_v;
  grouped[-2] = p.group() * p.s.length, grouped[-1] = p.s.d;
  const Tensor out = matmul(reshape(p.q, grouped), p.scale == 1 ? state : scale(state, p.scale));
  return {reshape(out, shape), state};
}

}  // namespace

Tensor without_padding(const Tensor& x, const Tensor& lengths, const Heads& s) {
  if (!x || !lengths || x.size() == 0) return x;
  const Index n = x.size() / (s.batch * s.kv_heads * s.keys);
  const auto select = [lengths, s, n](const Tensor& from) {
    const Tensor to = Tensor::empty(from.shape(), from.dtype());
    dispatch_float("linear_attention", "x", from, [&](auto zero) {
      using T = decltype(zero);
      copy_without_padding(to.data<T>(), from.data<T>(), lengths.data<std::int64_t>(), s.batch, s.kv_heads, s.keys, n);
    });
    return to;
  };
  const Tensor y = select(x);
  if (needs_grad({&x})) {
    record("without_padding", {x}, {y}, [x, select](const Tensors& d) { accumulate(x, select(d[0])); });
  }
  return y;
}

LinearAttentionResult linear_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const LinearAttentionOptions& o, const char* op) {
  Scan p;
  p.s = check_heads(op, q, k, v);
  check_options(op, o, p.s);
  if (o.decay) {
    p.decay = without_padding(gate(op, "decay", o.decay, k, true), o.key_lengths, p.s);
    p.decay_kind = p.decay.rank() == k.rank() ? DecayKind::kFeature : DecayKind::kHead;
  }
  if (o.beta) p.beta = without_padding(gate(op, "beta", o.beta, k, false), o.key_lengths, p.s);
  p.q = features(q, o.feature_map);
  p.k = without_padding(k, o.key_lengths, p.s);  // before the map: nothing of the padding reaches its gradient
  if (o.feature_map != FeatureMap::kNone) p.k = without_padding(features(p.k, o.feature_map), o.key_lengths, p.s);
  p.v = without_padding(v, o.key_lengths, p.s);
  if (o.normalize) {
    Shape ones = v.shape();
    ones[-1] = 1;
    p.v = concatenate({p.v, Tensor::full(ones, v.dtype(), 1)}, -1);
    ++p.s.d_v;
  }
  Shape state_shape = k.shape();
  state_shape[-2] = p.s.d, state_shape[-1] = p.s.d_v;
  if (o.state) {
    check_float(op, "state", o.state);
    check_same_dtype(op, "state", o.state, "q", q);
    check_shape(op, "state", o.state, state_shape);
    p.state = o.state;
  }
  p.scale = o.normalize ? 1 : o.scale.value_or(p.s.d > 0 ? 1 / std::sqrt(static_cast<double>(p.s.d)) : 1);
  p.chunk = std::min({o.chunk_size, p.decay_kind == DecayKind::kFeature ? kFeatureChunk : kMostChunk});
  const bool empty = p.s.d == 0 || p.s.d_v == 0;  // sums over nothing, or nothing to compute
  LinearAttentionResult y = o.causal && !empty ? scan(p, state_shape) : all_at_once(p, state_shape);
  if (o.normalize) y.out = divide_by_last(y.out);
  return y;
}

}  // namespace attendo

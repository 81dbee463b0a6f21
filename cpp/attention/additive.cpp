// Additive scores
//
//   q' = W_q q + b      k' = W_k k      s_ij = Σ_a v_a tanh(q'_ia + k'_ja)
//
//   backward   with y = tanh(q' + k'):   u_ija = ds_ij (1 - y_ija²)
//              dq'_ia = v_a Σ_j u_ija      dk'_ja = v_a Σ_i u_ija      dv_a = Σ_ij ds_ij y_ija
//
// q: (…, H, L, Dq).  k: (…, Hkv, S, Dk).  s: (…, H, L, S).  W: (A, D) or one a head.  Kept: q' and k'; y is made anew.
// Sums over queries are cut into ranges by the size of the problem and added in order.   Bahdanau et al. 2015, §A.1.2.
#include "attention/additive.h"

#include <cmath>

#include "core/cost.h"
#include "core/parallel.h"
#include "ops/linear.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kPairCost = 8;  // multiply-adds that a tanh is worth
constexpr Index kBackwardTasks = 8;

struct Pairs {
  PairScore kind;
  Tensor q, k, w;
  Index batch = 1, heads = 1, kv_heads = 1, length = 0, keys = 0, features = 0;
  Index w_head = 0;  // from one head's weights to the next

  Index group() const { return kv_heads > 0 ? heads / kv_heads : 0; }
  Index pairs() const { return batch * kv_heads; }
};

template <typename T>
kernels::PairScoreHead<T> head_of(const Pairs& p, Index bh, Index first, Index rows, const T* prepared) {
  kernels::PairScoreHead<T> head;
  head.rows = rows, head.keys = p.keys, head.features = p.features;
  head.q = p.q.data<T>() + (bh * p.length + first) * p.features, head.q_row = p.features;
  head.prepared = prepared;
  head.w = p.w.data<T>() + bh % p.heads * p.w_head;
  return head;
}

// Keys of every (batch, kv head), in the order the kernel reads them.
template <typename T>
void prepare_keys(T* prepared, const Pairs& p) {
  const auto& kernel = kernels::pair_score_kernels<T>();
  const Index size = kernel.prepared_size(p.kind, p.keys, p.features), one = p.keys * p.features;
  parallel_ranges(p.pairs(), rows_per_task(kPairCost * one), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      kernel.prepare(p.kind, p.k.data<T>() + i * one, p.features, p.keys, p.features, prepared + i * size);
    }
  });
}

template <typename T>
void pair_scores_forward(T* scores, const Pairs& p) {
  const auto& kernel = kernels::pair_score_kernels<T>();
  const Index size = kernel.prepared_size(p.kind, p.keys, p.features);
  Scratch<T> prepared(static_cast<size_t>(p.pairs() * size));
  prepare_keys(prepared.get(), p);
  const Index rows = p.batch * p.heads * p.length;
  count_multiply_adds(rows * p.keys * p.features);
  parallel_ranges(rows, rows_per_task(kPairCost * p.keys * p.features), [&](Index begin, Index end) {
    Scratch<T> scratch(static_cast<size_t>(kernel.scratch_size(p.features)));
    for (Index row = begin; row < end;) {
      const Index bh = row / p.length, first = row % p.length, count = std::min(end - row, p.length - first);
      const Index pair = bh / p.heads * p.kv_heads + bh % p.heads / p.group();
      kernel.forward(p.kind, head_of<T>(p, bh, first, count, prepared.get() + pair * size), scores + row * p.keys,
                     p.keys, scratch.get());
      row += count;
    }
  });
}

// One unit: the query heads of one (batch, kv head), a range of their queries.
template <typename T>
void pair_scores_backward(T* d_q, T* d_k, T* d_w, const T* d_scores, const Pairs& p) {
  const auto& kernel = kernels::pair_score_kernels<T>();
  const Index size = kernel.prepared_size(p.kind, p.keys, p.features);
  const Index d_size = kernel.d_keys_size(p.keys, p.features), a = p.features, group = p.group();
  const Index parts = std::clamp<Index>(kBackwardTasks / std::max<Index>(1, p.pairs()), 1, (p.length + 15) / 16);
  const Index part_rows = (p.length + parts - 1) / parts;
  const Index units = p.pairs() * parts;
  count_multiply_adds(2 * p.batch * p.heads * p.length * p.keys * a);
  Scratch<T> prepared(static_cast<size_t>(p.pairs() * size));
  prepare_keys(prepared.get(), p);
  Scratch<T> d_keys(static_cast<size_t>(units * d_size));
  Scratch<T> d_weights(static_cast<size_t>(units * group * a));
  const Index grain = rows_per_task(2 * kPairCost * part_rows * group * p.keys * a);
  parallel_ranges(units, grain, [&](Index begin, Index end) {
    Scratch<T> scratch(static_cast<size_t>(kernel.scratch_size(a)));
    std::fill_n(d_keys.get() + begin * d_size, (end - begin) * d_size, T(0));
    std::fill_n(d_weights.get() + begin * group * a, (end - begin) * group * a, T(0));
    for (Index unit = begin; unit < end; ++unit) {
      const Index pair = unit / parts, first = std::min(p.length, unit % parts * part_rows);
      const Index rows = std::min(part_rows, p.length - first);
      for (Index member = 0; member < group; ++member) {
        const Index bh = pair / p.kv_heads * p.heads + pair % p.kv_heads * group + member;
        kernel.backward(p.kind, head_of<T>(p, bh, first, rows, prepared.get() + pair * size),
                        d_scores + (bh * p.length + first) * p.keys, p.keys, d_q + (bh * p.length + first) * a, a,
                        d_keys.get() + unit * d_size, d_weights.get() + (unit * group + member) * a, scratch.get());
      }
    }
  });
  parallel_ranges(p.pairs(), rows_per_task(parts * d_size), [&](Index begin, Index end) {
    for (Index pair = begin; pair < end; ++pair) {
      T* total = d_keys.get() + pair * parts * d_size;
      for (Index part = 1; part < parts; ++part) {
        for (Index i = 0; i < d_size; ++i) total[i] += total[part * d_size + i];
      }
      kernel.finish_keys(total, p.keys, a, d_k + pair * p.keys * a, a);
    }
  });
  for (Index unit = 0; unit < units; ++unit) {
    for (Index member = 0; member < group; ++member) {
      const Index head = unit / parts % p.kv_heads * group + member;
      for (Index i = 0; i < a; ++i) d_w[head * p.w_head + i] += d_weights.get()[(unit * group + member) * a + i];
    }
  }
}

// ---- projections ----------------------------------------------------------------------------------------------------

struct Projection {
  Tensor x, weight, bias;
  Index batch = 1, heads = 1, rows = 0, in = 0, out = 0;
};

// x without the rows whose gradient is 0.
template <typename T>
void selected_rows(T* to, const T* x, const T* d_y, Index rows, Index in, Index out) {
  parallel_ranges(rows, rows_per_task(in + out), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const bool none = std::all_of(d_y + r * out, d_y + (r + 1) * out, [](T g) { return g == T(0); });
      if (none) {
        std::fill_n(to + r * in, in, T(0));
      } else {
        std::copy_n(x + r * in, in, to + r * in);
      }
    }
  });
}

// A product of one weight and all rows, or a head each: body(first row, rows, head).
template <typename Body>
void for_weights(const Projection& p, const Body& body) {
  if (p.weight.rank() == 2) {
    if (p.batch * p.heads * p.rows > 0) body(Index{0}, p.batch * p.heads * p.rows, Index{0});
    return;
  }
  for (Index bh = 0; bh < p.batch * p.heads && p.rows > 0; ++bh) body(bh * p.rows, p.rows, bh % p.heads);
}

template <typename T>
void project_forward(T* y, const Projection& p) {
  for_weights(p, [&](Index first, Index rows, Index head) {
    linear_forward<T>(y + first * p.out, p.x.data<T>() + first * p.in, p.weight.data<T>() + head * p.out * p.in,
                      p.bias ? p.bias.data<T>() + head * p.out : nullptr, rows, p.in, p.out);
  });
}

template <typename T>
void project_backward(T* d_x, T* d_weight, T* d_bias, const T* d_y, const Projection& p) {
  Scratch<T> selected(static_cast<size_t>(d_weight == nullptr ? 0 : p.x.size()));
  if (d_weight != nullptr) {
    selected_rows(selected.get(), p.x.data<T>(), d_y, p.batch * p.heads * p.rows, p.in, p.out);
  }
  for_weights(p, [&](Index first, Index rows, Index head) {
    const T* x = d_weight == nullptr ? p.x.data<T>() : selected.get();
    linear_backward<T>(d_x == nullptr ? nullptr : d_x + first * p.in,
                       d_weight == nullptr ? nullptr : d_weight + head * p.out * p.in, true,
                       d_bias == nullptr ? nullptr : d_bias + head * p.out, true, d_y + first * p.out, x + first * p.in,
                       p.weight.data<T>() + head * p.out * p.in, rows, p.in, p.out);
  });
}

Index head_count(const Tensor& x) { return x.rank() >= 3 ? x.dim(-3) : 1; }

// One entry of axis 0 as many times as there are heads, perhaps none.
Tensor for_each_head(const Tensor& x, Index heads) {
  if (heads > 0) return concatenate(Tensors(static_cast<size_t>(heads), x), 0);
  std::vector<SliceAxis> none;
  for (const Index n : x.shape()) none.push_back({0, none.empty() ? 0 : n, 1});
  return slice(x, none);
}

// An argument of the scores: its last axes, and one more before them where each head has its own.
void check_param(const char* name, const Tensor& x, const Tensor& like, std::initializer_list<Index> last, Index heads,
                 const char* axes) {
  check_float("attention", name, x);
  check_same_dtype("attention", name, x, "q", like);
  const int rank = static_cast<int>(last.size());
  bool fits = x.rank() == rank || (x.rank() == rank + 1 && x.dim(0) == heads);
  if (fits) fits = std::equal(last.begin(), last.end(), x.shape().end() - rank);
  if (fits) return;
  Shape wanted;
  for (const Index n : last) wanted.push_back(n);
  value_error("attention: ", name, " has shape ", x.shape(), " but must be ", axes, ", here ", wanted,
              ", or one a head, of which there are ", heads);
}

}  // namespace

Tensor pair_scores(PairScore kind, const Tensor& q, const Tensor& k, const Tensor& w) {
  Pairs p;
  p.kind = kind, p.q = q, p.k = k, p.w = w;
  p.heads = head_count(q), p.kv_heads = head_count(k);
  p.batch = q.shape().product(0, std::max(0, q.rank() - 3));
  p.length = q.dim(-2), p.keys = k.dim(-2), p.features = q.dim(-1);
  p.w_head = w.rank() == 2 ? p.features : 0;
  Shape shape = q.shape();
  shape[-1] = p.keys;
  const Tensor scores = Tensor::empty(shape, q.dtype());
  if (scores.size() > 0) {
    dispatch_float("attention", "q", q, [&](auto zero) {
      using T = decltype(zero);
      pair_scores_forward<T>(scores.data<T>(), p);
    });
  }
  if (!needs_grad({&q, &k, &w})) return scores;
  record("attention with score='additive' or 'kernel'", {q, k, w}, {scores}, [p](const Tensors& d) {
    const bool empty = d[0].size() == 0;
    const Tensor d_q = empty ? Tensor::zeros(p.q.shape(), p.q.dtype()) : Tensor::empty(p.q.shape(), p.q.dtype());
    const Tensor d_k = empty ? Tensor::zeros(p.k.shape(), p.k.dtype()) : Tensor::empty(p.k.shape(), p.k.dtype());
    const Tensor d_w = Tensor::zeros(p.w.shape(), p.w.dtype());
    if (!empty) {
      dispatch_float("attention", "q", p.q, [&](auto zero) {
        using T = decltype(zero);
        pair_scores_backward<T>(d_q.data<T>(), d_k.data<T>(), d_w.data<T>(), d[0].data<T>(), p);
      });
    }
    accumulate(p.q, d_q);
    accumulate(p.k, d_k);
    accumulate(p.w, d_w);
  });
  return scores;
}

Tensor project_rows(const Tensor& x, const Tensor& weight, const Tensor& bias_in) {
  Projection p;
  p.x = x, p.weight = weight, p.bias = bias_in;
  p.heads = head_count(x);
  p.batch = x.shape().product(0, std::max(0, x.rank() - 3));
  p.rows = x.dim(-2), p.in = x.dim(-1), p.out = weight.dim(-2);
  // One bias a head needs one product a head, and the other way round.
  if (p.bias && p.bias.rank() == 2 && weight.rank() == 2) {
    p.weight = for_each_head(reshape(weight, {1, p.out, p.in}), p.heads);
  } else if (p.bias && p.bias.rank() == 1 && weight.rank() == 3) {
    p.bias = for_each_head(reshape(p.bias, {1, p.out}), p.heads);
  }
  Shape shape = x.shape();
  shape[-1] = p.out;
  const Tensor y = Tensor::empty(shape, x.dtype());
  dispatch_float("attention", "q", x, [&](auto zero) {
    using T = decltype(zero);
    project_forward<T>(y.data<T>(), p);
  });
  if (!needs_grad({&p.x, &p.weight, &p.bias})) return y;
  record("attention with score='general' or 'additive'", {p.x, p.weight, p.bias}, {y}, [p](const Tensors& d) {
    const Tensor d_x = p.x.requires_grad() ? Tensor::empty(p.x.shape(), p.x.dtype()) : Tensor();
    const Tensor d_weight = p.weight.requires_grad() ? Tensor::zeros(p.weight.shape(), p.x.dtype()) : Tensor();
    const Tensor d_bias = p.bias && p.bias.requires_grad() ? Tensor::zeros(p.bias.shape(), p.x.dtype()) : Tensor();
    dispatch_float("attention", "q", p.x, [&](auto zero) {
      using T = decltype(zero);
      project_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight), data_or_null<T>(d_bias), d[0].data<T>(), p);
    });
    accumulate(p.x, d_x);
    accumulate(p.weight, d_weight);
    accumulate(p.bias, d_bias);
  });
  return y;
}

void check_additive(const Tensor& q, const Tensor& k, const AdditiveWeights& w) {
  Index a = q.dim(-1);
  if (w.w_q) {
    check_float("attention", "W_q", w.w_q);
    check_min_rank("attention", "W_q", w.w_q, 2, "(A, Dq)");
    a = w.w_q.dim(-2);
    check_param("W_q", w.w_q, q, {a, q.dim(-1)}, head_count(q), "(A, Dq)");
    check_param("W_k", w.w_k, q, {a, k.dim(-1)}, head_count(k), "(A, Dk)");
    if (w.b) check_param("b", w.b, q, {a}, head_count(q), "(A,)");
  }
  check_param("v_a", w.v_a, q, {a}, head_count(q), "(A,)");
}

}  // namespace attendo

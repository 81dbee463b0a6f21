// Pooled attention: one vector of a whole sequence
//
//   s_i = scale Σ_d w_d q_id k_id      α = softmax over the allowed positions of s      o = Σ_i α_i v_i
//
//   backward   dα_i = do·v_i      ds_i = α_i (dα_i - Σ_j α_j dα_j)      dv_i = α_i do
//              dq_i = scale ds_i w ∘ k_i      dk_i = scale ds_i w ∘ q_i      dw = scale Σ_i ds_i q_i ∘ k_i
//
// q, k: (…, L, D).  v: (…, L, Dv).  w: (D,), ones where it is not given.  α: (…, L).  o: (…, Dv).  Softmax and sum are those of
// attention with one query, whose bias is s.   Article 000 §3.1; with w article 001 §5.2, corrected.
#include "attention/pooled.h"

#include <cmath>

#include "core/cost.h"
#include "core/parallel.h"
#include "ops/shape.h"

namespace attendo {
namespace {

struct RowDots {
  Tensor q, k, w;
  Index rows = 0, n = 0;
  double scale = 1;
};

template <typename T>
void row_dots_forward(T* s, const RowDots& p) {
  const T *q = p.q.data<T>(), *k = p.k.data<T>(), *w = data_or_null<T>(p.w);
  const T scale = static_cast<T>(p.scale);
  const Index n = p.n;
  count_multiply_adds(p.rows * n);
  parallel_ranges(p.rows, rows_per_task(n), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      T sum = T(0);
      for (Index i = r * n; i < (r + 1) * n; ++i) sum += w == nullptr ? q[i] * k[i] : w[i - r * n] * (q[i] * k[i]);
      s[r] = scale * sum;
    }
  });
}

// A position without a gradient gives none, whatever it holds. dw is summed in shards of rows, added in order.
template <typename T>
void row_dots_backward(T* d_q, T* d_k, T* d_w, const T* d_s, const RowDots& p) {
  const T *q = p.q.data<T>(), *k = p.k.data<T>(), *w = data_or_null<T>(p.w);
  const T scale = static_cast<T>(p.scale);
  const Index n = p.n;
  count_multiply_adds(2 * p.rows * n);
  const Shards shards(p.rows, rows_per_task(3 * n));
  Scratch<T> sums(static_cast<size_t>(shards.count * n));
  std::fill_n(sums.get(), shards.count * n, T(0));
  parallel_for(shards.count, [&](Index shard) {
    T* total = sums.get() + shard * n;
    for (Index r = shard * shards.rows; r < std::min(p.rows, (shard + 1) * shards.rows); ++r) {
      const T g = scale * d_s[r];
      for (Index i = 0; i < n; ++i) {
        const Index at = r * n + i;
        const T gw = w == nullptr ? g : g * w[i];
        d_q[at] = g == T(0) ? T(0) : gw * k[at];
        d_k[at] = g == T(0) ? T(0) : gw * q[at];
        if (d_w != nullptr && g != T(0)) total[i] += g * (q[at] * k[at]);
      }
    }
  });
  if (d_w == nullptr) return;
  std::fill_n(d_w, n, T(0));
  for (Index shard = 0; shard < shards.count; ++shard) {
    for (Index i = 0; i < n; ++i) d_w[i] += sums.get()[shard * n + i];
  }
}

Tensor row_dots(const RowDots& p) {
  const Tensor s = Tensor::empty(p.q.shape().slice(0, p.q.rank() - 1), p.q.dtype());
  dispatch_float("pooled", "q", p.q, [&](auto zero) {
    using T = decltype(zero);
    row_dots_forward<T>(s.data<T>(), p);
  });
  if (!needs_grad({&p.q, &p.k, &p.w})) return s;
  record("pooled", {p.q, p.k, p.w}, {s}, [p](const Tensors& d) {
    const Tensor d_q = Tensor::empty(p.q.shape(), p.q.dtype()), d_k = Tensor::empty(p.k.shape(), p.k.dtype());
    const Tensor d_w = p.w && p.w.requires_grad() ? Tensor::empty(p.w.shape(), p.w.dtype()) : Tensor();
    dispatch_float("pooled", "q", p.q, [&](auto zero) {
      using T = decltype(zero);
      row_dots_backward<T>(d_q.data<T>(), d_k.data<T>(), data_or_null<T>(d_w), d[0].data<T>(), p);
    });
    accumulate(p.q, d_q);
    accumulate(p.k, d_k);
    accumulate(p.w, d_w);
  });
  return s;
}

}  // namespace

AttentionResult pooled(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& w, AttentionOptions options,
                       bool return_weights) {
  for (const auto& [name, x] : {std::pair{"q", &q}, std::pair{"k", &k}, std::pair{"v", &v}}) {
    check_float("pooled", name, *x);
    check_min_rank("pooled", name, *x, 2, "(..., length, features)");
    check_same_dtype("pooled", name, *x, "q", q);
  }
  check_shape("pooled", "k", k, q.shape());
  Shape of_v = q.shape();
  of_v[-1] = v.dim(-1);
  if (!(v.shape() == of_v)) {
    value_error("pooled: v has shape ", v.shape(), " but q has shape ", q.shape(), "; all but the features must agree");
  }
  if (w) {
    check_float("pooled", "w", w);
    check_same_dtype("pooled", "w", w, "q", q);
    check_shape("pooled", "w", w, {q.dim(-1)});
  }
  RowDots p;
  p.q = q, p.k = k, p.w = w;
  p.n = q.dim(-1), p.rows = q.shape().product(0, q.rank() - 1), p.scale = options.scale.value_or(1);
  if (!std::isfinite(p.scale)) value_error("pooled: scale is ", p.scale, " but must be a finite number");
  const Tensor scores = row_dots(p);  // (…, L)

  // One head, one query: (…, 1, 1, L).
  const Shape lead = q.shape().slice(0, q.rank() - 2);
  auto shaped = [&lead](std::initializer_list<Index> last) {
    Shape shape = lead;
    if (lead.rank() == 0) shape.push_back(1);
    for (const Index n : last) shape.push_back(n);
    return shape;
  };
  const Index length = q.dim(-2);
  const Tensor query = Tensor::empty(shaped({1, 1, 0}), q.dtype());
  const Tensor keys = Tensor::empty(shaped({1, length, 0}), q.dtype());
  if (options.mask) {
    Shape out;
    if (options.mask.dtype() != DType::kBool) {
      type_error("pooled: mask has dtype ", dtype_name(options.mask.dtype()), " but must be bool (True = counts)");
    }
    if (!try_broadcast(options.mask.shape(), scores.shape(), out) || !(out == scores.shape())) {
      value_error("pooled: mask has shape ", options.mask.shape(), ", which does not broadcast to ", scores.shape());
    }
    if (options.mask.rank() > 1) {
      Shape with_query = options.mask.shape().slice(0, options.mask.rank() - 1);
      with_query.push_back(1), with_query.push_back(1), with_query.push_back(options.mask.dim(-1));
      options.mask = reshape(options.mask, with_query);
    }
  }
  options.scale = 1;
  options.bias = reshape(scores, shaped({1, 1, length}));
  AttentionResult result =
      scaled_dot_product(query, keys, reshape(v, shaped({1, length, v.dim(-1)})), options, return_weights);
  Shape out = lead;
  out.push_back(v.dim(-1));
  result.out = reshape(result.out, out);
  if (return_weights) result.weights = reshape(result.weights, scores.shape());
  return result;
}

}  // namespace attendo

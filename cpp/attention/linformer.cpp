// Linformer: attention over r mixtures of the keys and values
//
//   k'_t = Σ_j E_tj k_j      v'_t = Σ_j F_tj v_j      o_i = Σ_t softmax_t(scale q_i·k'_t) v'_t
//
//   backward   of attention, then      dk_j = Σ_t E_tj dk'_t      dE_tj = dk'_t·k_j  (summed over the batch, and over the
//              heads that share E)     dv and dF alike
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  v: (B, Hkv, S, Dv).  E, F: (r, S) or (Hkv, r, S).  k': (B, Hkv, r, D).
// Of a sample of length n only the first n columns of E and F count: k_j and v_j behind them are never read, and their
// gradients are 0. Kept: k, v, E, F, and what attention keeps.   Wang et al. 2020, eq. 7.
#include "attention/linformer.h"

#include <cmath>

#include "attention/heads.h"
#include "core/parallel.h"
#include "core/random.h"
#include "ops/gemm.h"

namespace attendo {
namespace {

// x (B, Hkv, S, D), e (r, S) or (Hkv, r, S) -> y (B, Hkv, r, D)
struct LengthProjection {
  Tensor x, e, lengths;
  Index batch, heads, keys, d, r;

  bool per_head() const { return e.rank() == 3; }
  Index used(Index bh) const { return length_of(lengths, bh / heads, keys); }
  Index e_at(Index bh) const { return per_head() ? bh % heads * r * keys : 0; }
};

template <typename T>
void project_length_forward(T* y, const LengthProjection& p) {
  parallel_for(p.batch * p.heads, [&](Index bh) {
    Gemm<T> g;
    g.m = p.r, g.n = p.d, g.k = p.used(bh);
    g.a = p.e.data<T>() + p.e_at(bh), g.a_row = p.keys;
    g.b = p.x.data<T>() + bh * p.keys * p.d, g.b_row = p.d;
    g.c = y + bh * p.r * p.d, g.c_row = p.d;
    if (g.k == 0) {
      std::fill_n(g.c, p.r * p.d, T(0));
      return;
    }
    gemm(g);
  });
}

// d_x and d_e may be null.
template <typename T>
void project_length_backward(T* d_x, T* d_e, const T* d_y, const LengthProjection& p) {
  if (d_x != nullptr) {
    parallel_for(p.batch * p.heads, [&](Index bh) {
      Gemm<T> g;  // dx = eᵀ · dy
      g.m = p.used(bh), g.n = p.d, g.k = p.r;
      g.a = p.e.data<T>() + p.e_at(bh), g.a_row = 1, g.a_col = p.keys;
      g.b = d_y + bh * p.r * p.d, g.b_row = p.d;
      g.c = d_x + bh * p.keys * p.d, g.c_row = p.d;
      gemm(g);
      std::fill(g.c + g.m * p.d, g.c + p.keys * p.d, T(0));
    });
  }
  if (d_e == nullptr) return;
  std::fill_n(d_e, p.e.size(), T(0));
  auto add = [&](Index bh) {  // de += dy · xᵀ
    Gemm<T> g;
    g.m = p.r, g.n = p.used(bh), g.k = p.d;
    g.a = d_y + bh * p.r * p.d, g.a_row = p.d;
    g.b = p.x.data<T>() + bh * p.keys * p.d, g.b_row = 1, g.b_col = p.d;
    g.c = d_e + p.e_at(bh), g.c_row = p.keys;
    g.add = true;
    gemm(g);
  };
  if (p.per_head()) {
    parallel_for(p.heads, [&](Index h) {
      for (Index b = 0; b < p.batch; ++b) add(b * p.heads + h);
    });
  } else {
    for (Index bh = 0; bh < p.batch * p.heads; ++bh) add(bh);
  }
}

Tensor project_length(const LengthProjection& p) {
  const Tensor y = Tensor::empty(with_heads(p.x.shape(), p.heads, p.r, p.d), p.x.dtype());
  dispatch_float("linformer", "k", p.x, [&](auto zero) {
    using T = decltype(zero);
    project_length_forward<T>(y.data<T>(), p);
  });
  if (!needs_grad({&p.x, &p.e})) return y;
  record("linformer_projection", {p.x, p.e}, {y}, [p](const Tensors& d) {
    Tensor d_x, d_e;
    if (p.x.requires_grad()) d_x = Tensor::empty(p.x.shape(), p.x.dtype());
    if (p.e.requires_grad()) d_e = Tensor::empty(p.e.shape(), p.e.dtype());
    dispatch_float("linformer", "k", p.x, [&](auto zero) {
      using T = decltype(zero);
      project_length_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_e), d[0].data<T>(), p);
    });
    accumulate(p.x, d_x);
    accumulate(p.e, d_e);
  });
  return y;
}

void check_projection(const char* name, const Tensor& e, const Tensor& q, const Heads& p) {
  check_float("linformer", name, e);
  check_same_dtype("linformer", name, e, "q", q);
  const bool heads = e.rank() == 3 && q.rank() >= 3;
  if ((e.rank() != 2 && !heads) || e.dim(-1) != p.keys || (heads && e.dim(0) != p.kv_heads)) {
    value_error("linformer: ", name, " has shape ", e.shape(), " but must be (r, ", p.keys, ")",
                q.rank() >= 3 ? concat(" or (", p.kv_heads, ", r, ", p.keys, ")") : "",
                ": a column for each key position");
  }
  if (e.dim(-2) == 0) value_error("linformer: ", name, " has shape ", e.shape(), " but must have a row at least");
}

void check_sizes(Index r, Index keys) {
  if (r < 1) value_error("linformer_projection: r is ", r, " but must be 1 or more");
  if (keys < 0) value_error("linformer_projection: length is ", keys, " but must be 0 or more");
  if (keys > 0 && r > kMaxElements / keys) {
    value_error("linformer_projection: r is ", r, " and length ", keys, ", which no memory holds");
  }
}

}  // namespace

AttentionResult linformer(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& proj_k, const Tensor& proj_v,
                          const Tensor& key_lengths, const std::optional<double>& scale, bool return_weights) {
  const Heads p = check_heads("linformer", q, k, v);
  AttentionOptions options;
  options.scale = scale_or_default("linformer", scale, p.d);
  check_lengths("linformer", "lengths", key_lengths, p.batch, p.keys, "the number of keys");
  const Tensor& e = proj_k;
  const Tensor& f = proj_v ? proj_v : proj_k;
  check_projection("proj_k", e, q, p);
  if (proj_v) check_projection("proj_v", f, q, p);
  if (e.dim(-2) != f.dim(-2)) {
    value_error("linformer: proj_v has ", f.dim(-2), " rows but proj_k has ", e.dim(-2));
  }
  const Tensor short_k = project_length({k, e, key_lengths, p.batch, p.kv_heads, p.keys, p.d, e.dim(-2)});
  const Tensor short_v = project_length({v, f, key_lengths, p.batch, p.kv_heads, p.keys, p.d_v, f.dim(-2)});
  return scaled_dot_product(q, short_k, short_v, options, return_weights);
}

Tensor linformer_normal_projection(Index r, Index keys, std::uint64_t seed, DType dtype) {
  check_sizes(r, keys);
  Tensor e = Tensor::empty({r, keys}, dtype);
  Generator generator(seed);
  fill_normal(e, 0, 1 / std::sqrt(static_cast<double>(r)), generator);
  return e;
}

// Row t is the mean of positions t·S/r to (t+1)·S/r: stretches that differ by one at most.
Tensor linformer_mean_projection(Index r, Index keys, DType dtype) {
  check_sizes(r, keys);
  if (r > keys) {
    value_error("linformer_projection: r is ", r, " but the means of ", keys, " positions must be ", keys, " at most");
  }
  Tensor e = Tensor::zeros({r, keys}, dtype);
  dispatch_float("linformer_projection", "dtype", e, [&](auto zero) {
    using T = decltype(zero);
    for (Index t = 0; t < r; ++t) {
      const Index begin = t * keys / r, end = (t + 1) * keys / r;
      std::fill(e.data<T>() + t * keys + begin, e.data<T>() + t * keys + end, T(1) / static_cast<T>(end - begin));
    }
  });
  return e;
}

}  // namespace attendo

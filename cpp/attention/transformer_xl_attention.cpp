// Transformer-XL's attention with relative positions
//
//   s_ij = scale ((q_i + u)·k_j + (q_i + w)·r_{i + q_offset - j})      P, o as in scaled dot-product attention
//
//   backward   dq, dk, dv as there for the query q + u; and of the bias scale (q_i + w)·r:
//              dq_i += scale Σ_j dS_ij r_{i-j}     dr_e = scale Σ_{i-j = e} dS_ij (q_i + w)
//              du = Σ_i scale Σ_j dS_ij k_j        dw = Σ_i scale Σ_j dS_ij r_{i-j}
//
//   r_t = W_r [sin(t f_k), cos(t f_k)],  f_k = 10000^(-2k/d)           (relative_sinusoid gives the bracket)
//
// q: (…, H, L, D).  k: (…, Hkv, S, D).  v: (…, Hkv, S, Dv).  r: (H, R, D).  u, w: (H, D).
// (q + w)·r is one product over the R distances (…, H, L, R), looked up by a score program.   Dai et al. 2019, §3.3, app. B.
#include "attention/transformer_xl_attention.h"

#include <cmath>

#include "attention/relative_bias.h"
#include "ops/arithmetic.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr const char* kOp = "transformer_xl_attention";

void check_head_bias(const char* name, const Tensor& bias, const Tensor& q) {
  check_float(kOp, name, bias);
  check_same_dtype(kOp, name, bias, "q", q);
  check_shape(kOp, name, bias, q.rank() >= 3 ? Shape{q.dim(-3), q.dim(-1)} : Shape{q.dim(-1)});
}

Tensor add_head_bias(const Tensor& q, const Tensor& bias) {
  if (q.rank() < 3) return add(q, bias);
  return add(q, reshape(bias, {bias.dim(0), 1, bias.dim(1)}));
}

}  // namespace

AttentionResult transformer_xl_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& r,
                                         const Tensor& content_bias, const Tensor& position_bias,
                                         AttentionOptions options, bool return_weights) {
  check_float(kOp, "q", q);
  check_min_rank(kOp, "q", q, 2, "(..., length, features)");
  check_min_rank(kOp, "k", k, 2, "(..., length, features)");
  const Index length = q.dim(-2), keys = k.dim(-2), d = q.dim(-1);
  check_head_bias("content_bias", content_bias, q);
  check_head_bias("position_bias", position_bias, q);
  check_float(kOp, "r", r);
  check_same_dtype(kOp, "r", r, "q", q);
  check_rank(kOp, "r", r, q.rank() >= 3 ? 3 : 2,
             q.rank() >= 3 ? "(heads, distances, features)" : "(distances, features)");
  if (r.dim(-1) != d) value_error(kOp, ": r has ", r.dim(-1), " features but query has ", d);
  if (q.rank() >= 3 && r.dim(0) != q.dim(-3)) {
    value_error(kOp, ": r has ", r.dim(0), " heads but query has ", q.dim(-3));
  }
  const Index past = options.q_offset + length, all = length + keys - 1;
  if (r.dim(-2) != past && r.dim(-2) != all && length > 0 && keys > 0) {
    value_error(kOp, ": r has ", r.dim(-2), " distances but must have q_offset + L = ", past,
                " (those of the past) or L + S - 1 = ", all, " (all)");
  }
  const double scale = options.scale.value_or(d > 0 ? 1.0 / std::sqrt(static_cast<double>(d)) : 1.0);
  // Entry 0 of r is the distance of the last query from the first key.
  add_relative_scores(options, relative_products(add_head_bias(q, position_bias), r, scale), keys,
                      options.q_offset + length - 1);
  return scaled_dot_product(add_head_bias(q, content_bias), k, v, options, return_weights);
}

Tensor relative_sinusoid(Index first, Index count, Index d_model, DType dtype) {
  if (count < 0) value_error("relative_sinusoid: count is ", count, " but must be 0 or more");
  if (d_model < 0 || d_model % 2 != 0) {
    value_error("relative_sinusoid: d_model is ", d_model, " but must be even and 0 or more");
  }
  Tensor table = Tensor::empty({count, d_model}, dtype);
  const Index half = d_model / 2;
  dispatch_float("relative_sinusoid", "dtype", table, [&](auto zero) {
    using T = decltype(zero);
    T* row = table.data<T>();
    for (Index n = 0; n < count; ++n, row += d_model) {
      for (Index k = 0; k < half; ++k) {
        const double angle = static_cast<double>(first - n) *
                             std::pow(10000.0, -2 * static_cast<double>(k) / static_cast<double>(d_model));
        row[k] = static_cast<T>(std::sin(angle));
        row[half + k] = static_cast<T>(std::cos(angle));
      }
    }
  });
  return table;
}

}  // namespace attendo

// Layer norm of a residual sum
//
//   forward    s = x + drop(r),   y = norm(s) = γ (s - μ) / σ + β
//   backward   ds = norm'(dy) + (what flows into s itself),   dx = ds,   dr = drop(ds);   dγ, dβ as in layer norm
//
// x, r, s, y: (rows, n).  γ, β: (n,).  One pass over memory each way: the sum of a few rows is normalised while it is in the
// cache. Kept: s, μ, 1/σ; the dropped elements are found again.   Vaswani et al. 2017, §3.1 and §5.4; article 003 §5.2.
#include "ops/residual_norm.h"

#include "core/grad.h"
#include "ops/arithmetic.h"
#include "ops/dropout.h"
#include "ops/layer_norm.h"

namespace attendo {
namespace {

struct ResidualNormSaved {
  LayerNormSaved norm;  // its x is s
  Tensor x, r;
  std::uint64_t stream = 0;
  double p = 0;

  std::uint32_t drop_below() const { return drop_threshold(p); }
};

template <typename T>
void residual_norm_forward(T* y, const ResidualNormSaved& saved, double eps) {
  const LayerNormSaved& s = saved.norm;
  const Index n = s.n, step = rows_in_cache(n);
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    const auto& table = kernels::row_kernels<T>();
    for (Index last, first = begin; first < end; first = last) {
      last = std::min(end, first + step);
      T* sum = s.x.data<T>() + first * n;
      table.add_dropout(sum, saved.x.data<T>() + first * n, saved.r.data<T>() + first * n, saved.stream,
                        static_cast<std::uint64_t>(first * n), saved.drop_below(), keep_scale<T>(saved.p),
                        (last - first) * n);
      table.layer_norm(y + first * n, s.mean.data<T>() + first, s.rstd.data<T>() + first, sum,
                       data_or_null<T>(s.weight), data_or_null<T>(s.bias), static_cast<T>(eps), last - first, n);
    }
  });
}

// d_sum, what flows into s itself, may be null; so may d_s, and d_r where it is d_s.
template <typename T>
void residual_norm_backward(T* d_s, T* d_r, T* d_weight, T* d_bias, const T* d_y, const T* d_sum,
                            const ResidualNormSaved& saved) {
  const Index n = saved.norm.n;
  const auto& table = kernels::row_kernels<T>();
  layer_norm_backward<T>(d_s, d_weight, d_bias, d_y, saved.norm, [&](Index first, Index last) {
    if (d_s == nullptr) return;
    T* rows = d_s + first * n;
    const Index count = (last - first) * n;
    if (d_sum != nullptr) table.add_dropout(rows, rows, d_sum + first * n, 0, 0, 0, T(1), count);
    if (d_r != nullptr) {
      table.dropout(d_r + first * n, rows, saved.stream, static_cast<std::uint64_t>(first * n), saved.drop_below(),
                    keep_scale<T>(saved.p), count);
    }
  });
}

void backward_of(const ResidualNormSaved& saved, const Tensors& d) {
  const LayerNormSaved& s = saved.norm;
  const DType dtype = s.x.dtype();
  const Tensor d_y = d[0] ? d[0] : Tensor::zeros(s.x.shape(), dtype);
  const Tensor d_sum = d.size() > 1 ? d[1] : Tensor();
  const bool x_wants = saved.x.requires_grad(), r_wants = saved.r.requires_grad();
  Tensor d_s, d_r, d_weight, d_bias;
  if (x_wants || r_wants) d_s = Tensor::empty(s.x.shape(), dtype);
  if (r_wants && saved.p > 0) d_r = Tensor::empty(s.x.shape(), dtype);
  if (s.weight && s.weight.requires_grad()) d_weight = Tensor::empty({s.n}, dtype);
  if (s.bias && s.bias.requires_grad()) d_bias = Tensor::empty({s.n}, dtype);
  dispatch_float("residual_norm", "x", s.x, [&](auto zero) {
    using T = decltype(zero);
    if (s.n == 0) return;
    residual_norm_backward<T>(data_or_null<T>(d_s), data_or_null<T>(d_r), data_or_null<T>(d_weight),
                              data_or_null<T>(d_bias), d_y.data<T>(), data_or_null<T>(d_sum), saved);
  });
  accumulate(saved.r, saved.p > 0 ? d_r : d_s);
  accumulate(saved.x, d_s);
  accumulate(s.weight, d_weight);
  accumulate(s.bias, d_bias);
}

}  // namespace

ResidualNorm residual_norm(const Tensor& x, const Tensor& r, const Tensor& weight, const Tensor& bias, double p,
                           Generator* generator, double eps, bool want_sum) {
  ResidualNormSaved saved;
  saved.norm = check_layer_norm("residual_norm", x, weight, bias, eps);
  check_float("residual_norm", "r", r);
  check_same_dtype("residual_norm", "r", r, "x", x);
  check_shape("residual_norm", "r", r, x.shape());
  if (!(p >= 0 && p < 1)) value_error("residual_norm: p is ", p, " but must be 0 or more and below 1");
  if (p > 0) {
    if (generator == nullptr) type_error("residual_norm: generator is None but must be an attendo.Generator");
    saved.stream = generator->next_stream();
  }
  saved.x = x, saved.r = r, saved.p = p;
  const bool taped = needs_grad({&x, &r, &weight, &bias});
  ResidualNorm result;
  result.out = Tensor::empty(x.shape(), x.dtype());
  // Where nobody reads the sum again it is normalised in place.
  Tensor sum = taped || want_sum ? Tensor::empty(x.shape(), x.dtype()) : result.out;
  saved.norm.x = sum.detach();
  dispatch_float("residual_norm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (saved.norm.n > 0) residual_norm_forward<T>(result.out.data<T>(), saved, eps);
  });
  if (want_sum) result.sum = sum;
  if (!taped) return result;
  Tensors outputs{result.out};
  if (want_sum) outputs.push_back(sum);
  record("residual_norm", {x, r, weight, bias}, outputs, Twice::kYes, [saved = std::move(saved)](const Tensors& d) {
    if (!grad_enabled()) return backward_of(saved, d);
    const LayerNormSaved& norm = saved.norm;
    accumulate_through({saved.x, saved.r, norm.weight, norm.bias}, d, [&](const Tensors& in) -> Tensors {
      const Tensor s = add(in[0], saved.p > 0 ? dropout(in[1], saved.p, saved.stream) : in[1]);
      return {layer_norm(s, in[2], in[3], norm.eps), s};
    });
  });
  return result;
}

}  // namespace attendo

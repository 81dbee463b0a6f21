// Scores of a Gaussian kernel
//
//   s_ij = -Σ_d (q_id - k_jd)² / 2h_d²      so that softmax gives the weights of Nadaraya and Watson
//
//   backward   with w = 1/2h²:   dq_id = -2 w_d Σ_j ds_ij (q_id - k_jd)      dk_jd = 2 w_d Σ_i ds_ij (q_id - k_jd)
//              dw_d = -Σ_ij ds_ij (q_id - k_jd)²                             dh = -h^-3 dw
//
// q: (…, H, L, D).  k: (…, Hkv, S, D).  h: one number, one a feature, one a head, or (H, D).  Differences are taken before
// squares: |q|² - 2 q·k + |k|² would lose every digit where the points lie far from 0.
//                                                                        Nadaraya 1964; Watson 1964; Tsai et al. 2019, §3.
#include "attention/kernel.h"

#include "attention/additive.h"
#include "ops/arithmetic.h"

namespace attendo {

Tensor kernel_weights(const Tensor& q, const Tensor& bandwidth) {
  check_float("attention", "bandwidth", bandwidth);
  check_same_dtype("attention", "bandwidth", bandwidth, "q", q);
  const Index d = q.dim(-1), heads = q.rank() >= 3 ? q.dim(-3) : 1;
  const Shape& shape = bandwidth.shape();
  const bool fits = shape.rank() == 0 || (shape.rank() == 1 && (shape[0] == d || shape[0] == 1)) ||
                    (shape.rank() == 2 && shape[0] == heads && (shape[1] == d || shape[1] == 1));
  if (!fits) {
    value_error("attention: bandwidth has shape ", shape, " but must be one number, (", d, ",), (", heads, ", 1) or (",
                heads, ", ", d, ")");
  }
  dispatch_float("attention", "bandwidth", bandwidth, [&](auto zero) {
    using T = decltype(zero);
    for (Index i = 0; i < bandwidth.size(); ++i) {
      const T h = bandwidth.data<T>()[i];
      if (!(h > T(0))) value_error("attention: bandwidth holds ", h, " but must be positive");
    }
  });
  const Tensor ones = Tensor::full(shape.rank() == 2 ? Shape{heads, d} : Shape{d}, q.dtype(), 0.5);
  return multiply(ones, power(bandwidth, -2));
}

Tensor kernel_scores(const Tensor& q, const Tensor& k, const Tensor& w) {
  return pair_scores(PairScore::kGaussian, q, k, w);
}

}  // namespace attendo

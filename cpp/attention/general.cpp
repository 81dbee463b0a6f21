// General (bilinear) scores
//
//   s_ij = q_iᵀ W k_j      as (q_i W) · k_j: the queries are projected, the rest is scaled dot-product attention
//
//   backward   with dq'_i = Σ_j ds_ij k_j:   dq_i = W dq'_i      dW = Σ_i q_i dq'_iᵀ      dk_j = Σ_i ds_ij q_i W
//
// q: (…, H, L, Dq).  k: (…, Hkv, S, Dk).  W: (Dq, Dk), or one a head.   Luong et al. 2015, §3.1.
#include "attention/general.h"

#include "attention/additive.h"
#include "ops/shape.h"

namespace attendo {

Tensor general_queries(const Tensor& q, const Tensor& k, const Tensor& w) {
  check_float("attention", "W", w);
  check_same_dtype("attention", "W", w, "q", q);
  const Index heads = q.rank() >= 3 ? q.dim(-3) : 1;
  const bool fits =
      (w.rank() == 2 || (w.rank() == 3 && w.dim(0) == heads)) && w.dim(-2) == q.dim(-1) && w.dim(-1) == k.dim(-1);
  if (!fits) {
    value_error("attention: W has shape ", w.shape(), " but must be (Dq, Dk), here (", q.dim(-1), ", ", k.dim(-1),
                "), or one a head, of which there are ", heads);
  }
  return project_rows(q, swap_axes(w, -1, -2), Tensor());
}

}  // namespace attendo

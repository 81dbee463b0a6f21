"""general: bilinear scores

  forward    s_ij = q_iᵀ W k_j
  backward   with dq'_i = Σ_j ds_ij k_j:   dq_i = W dq'_i     dW = Σ_i q_i dq'_iᵀ     dk_j = Σ_i ds_ij Wᵀ q_i

q: (..., H, L, Dq)  k: (..., Hkv, S, Dk)  W: (Dq, Dk) or (H, Dq, Dk)  s: (..., H, L, S).
Luong et al. 2015, §3.1.
"""

import numpy as np

from ._types import Array
from .additive import project_rows, project_rows_backward
from .scaled_dot_product import _repeat_heads, _sum_repeated


def general(q: Array, k: Array, w: Array) -> Array:
    """-> scores (..., H, L, S)."""
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    scores: Array = project_rows(q, np.swapaxes(w, -1, -2)) @ np.swapaxes(k, -1, -2)
    return scores


def general_backward(d_s: Array, q: Array, k: Array, w: Array) -> tuple[Array, Array, Array]:
    """d_s (..., H, L, S) -> d_q, d_k, d_w."""
    kv_heads = k.shape[-3] if q.ndim > 2 else 1
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    weight = np.swapaxes(w, -1, -2)
    d_k: Array = np.swapaxes(d_s, -1, -2) @ project_rows(q, weight)
    d_q, d_weight, _ = project_rows_backward(d_s @ k, q, weight)
    d_w: Array = np.swapaxes(d_weight, -1, -2)
    return d_q, _sum_repeated(d_k, kv_heads) if q.ndim > 2 else d_k, d_w

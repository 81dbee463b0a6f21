"""cosine: scores that are cosines

  forward    s_ij = q_i·k_j / (‖q_i‖ ‖k_j‖)                     0 where a row is 0
  backward   with y = q/‖q‖, z = k/‖k‖:   dy_i = Σ_j ds_ij z_j     dz_j = Σ_i ds_ij y_i     then qk_norm's l2

q: (..., H, L, D)  k: (..., Hkv, S, D)  s: (..., H, L, S).  A temperature divides s afterwards.
Graves et al. 2014, eq. 6.
"""

import numpy as np

from ._types import Array
from .qk_norm import l2_normalize, l2_normalize_backward
from .scaled_dot_product import _repeat_heads, _sum_repeated


def cosine(q: Array, k: Array) -> Array:
    """-> scores (..., H, L, S)."""
    q, k = l2_normalize(q), l2_normalize(k)
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    scores: Array = q @ np.swapaxes(k, -1, -2)
    return scores


def cosine_backward(d_s: Array, q: Array, k: Array) -> tuple[Array, Array]:
    """d_s (..., H, L, S) -> d_q, d_k."""
    unit_q, unit_k = l2_normalize(q), l2_normalize(k)
    if q.ndim > 2:
        unit_k = _repeat_heads(unit_k, q.shape[-3])
    d_q: Array = d_s @ unit_k
    d_k: Array = np.swapaxes(d_s, -1, -2) @ unit_q
    if q.ndim > 2:
        d_k = _sum_repeated(d_k, k.shape[-3])
    return l2_normalize_backward(d_q, q), l2_normalize_backward(d_k, k)

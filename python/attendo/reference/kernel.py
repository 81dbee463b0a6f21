"""kernel: scores of a Gaussian kernel, whose softmax gives the weights of Nadaraya and Watson

  forward    s_ij = -Σ_d (q_id - k_jd)² / 2h_d²
  backward   dq_id = -Σ_j ds_ij (q_id - k_jd) / h_d²     dk_jd = Σ_i ds_ij (q_id - k_jd) / h_d²
             dh_d  = Σ_ij ds_ij (q_id - k_jd)² / h_d³    summed over what h is broadcast along

q: (..., H, L, D)  k: (..., Hkv, S, D)  h: a number, (D,), (H, 1) or (H, D)  s: (..., H, L, S).
Nadaraya 1964; Watson 1964.
"""

import numpy as np

from ._types import Array
from .arithmetic import unbroadcast
from .scaled_dot_product import _repeat_heads, _sum_repeated


def _differences(q: Array, k: Array, bandwidth: Array) -> tuple[Array, Array]:
    """q - k (..., H, L, S, D), and h so that it divides that."""
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    h = bandwidth if bandwidth.ndim < 2 else bandwidth[:, None, None, :]
    return q[..., :, None, :] - k[..., None, :, :], h


def kernel(q: Array, k: Array, bandwidth: Array) -> Array:
    """-> scores (..., H, L, S)."""
    x, h = _differences(q, k, bandwidth)
    scores: Array = -np.sum(x * x / (2 * h * h), axis=-1)
    return scores


def kernel_backward(d_s: Array, q: Array, k: Array, bandwidth: Array) -> tuple[Array, Array, Array]:
    """d_s (..., H, L, S) -> d_q, d_k, d_bandwidth."""
    x, h = _differences(q, k, bandwidth)
    none = (d_s == 0)[..., None]
    u = np.where(none, 0, d_s[..., None] * x / (h * h))
    d_q: Array = -np.sum(u, axis=-2)
    d_k: Array = np.sum(u, axis=-3)
    if q.ndim > 2:
        d_k = _sum_repeated(d_k, k.shape[-3])
    d_h = np.where(none, 0, d_s[..., None] * x * x / (h * h * h))
    return d_q, d_k, unbroadcast(d_h, h.shape).reshape(bandwidth.shape)

"""additive: scores by a small network of query and key

  forward    q' = W_q q + b     k' = W_k k     s_ij = Σ_a v_a tanh(q'_ia + k'_ja)
  backward   with y = tanh(q' + k'):   u_ija = ds_ij (1 - y_ija²)
             dq'_ia = v_a Σ_j u_ija     dk'_ja = v_a Σ_i u_ija     dv_a = Σ_ij ds_ij y_ija
             dW_q = Σ_i dq'_i q_iᵀ      db = Σ_i dq'_i             dq = W_qᵀ dq'         (W_k, k alike)

q: (..., H, L, Dq)  k: (..., Hkv, S, Dk)  s: (..., H, L, S)
W_q: (A, Dq) or (H, A, Dq)  W_k: (A, Dk) or (Hkv, A, Dk)  v_a, b: (A,) or (H, A)
Without W_q and W_k (None) q and k are (..., A) as they are.
Bahdanau et al. 2015, §A.1.2.
"""

import numpy as np

from ._types import Array
from .scaled_dot_product import _repeat_heads, _sum_repeated


def project_rows(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x (..., H, N, in), weight (out, in) or (H, out, in) -> (..., H, N, out)."""
    y: Array = x @ np.swapaxes(weight, -1, -2)
    if bias is not None:
        y = y + (bias if bias.ndim == 1 else bias[:, None, :])
    return y


def project_rows_backward(
    d_y: Array, x: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, Array, Array | None]:
    """-> d_x, d_weight, d_bias.  A row without a gradient adds nothing, whatever it holds."""
    used = np.any(d_y != 0, axis=-1, keepdims=True)
    d_x: Array = d_y @ weight
    d_weight: Array = np.swapaxes(d_y, -1, -2) @ np.where(used, x, 0)  # (..., H, out, in)
    while d_weight.ndim > weight.ndim:
        d_weight = d_weight.sum(axis=0)
    d_bias = None
    if bias is not None:
        d_bias = d_y.sum(axis=-2)
        while d_bias.ndim > bias.ndim:
            d_bias = d_bias.sum(axis=0)
    return d_x, d_weight, d_bias


def _pairs(q: Array, k: Array, v_a: Array) -> tuple[Array, Array]:
    """tanh(q' + k') (..., H, L, S, A), and v_a so that it multiplies that."""
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    y = np.tanh(q[..., :, None, :] + k[..., None, :, :])
    return y, v_a if v_a.ndim == 1 else v_a[:, None, None, :]


def additive(
    q: Array, k: Array, w_q: Array | None, w_k: Array | None, v_a: Array, b: Array | None = None
) -> Array:
    """-> scores (..., H, L, S)."""
    if w_q is not None and w_k is not None:
        q, k = project_rows(q, w_q, b), project_rows(k, w_k)
    y, v = _pairs(q, k, v_a)
    scores: Array = np.sum(v * y, axis=-1)
    return scores


def additive_backward(
    d_s: Array,
    q: Array,
    k: Array,
    w_q: Array | None,
    w_k: Array | None,
    v_a: Array,
    b: Array | None = None,
) -> tuple[Array | None, ...]:
    """d_s (..., H, L, S) -> d_q, d_k, d_w_q, d_w_k, d_v_a, d_b; None where there is none."""
    projected = w_q is not None and w_k is not None
    q_, k_ = (
        (project_rows(q, w_q, b), project_rows(k, w_k)) if w_q is not None and w_k is not None else (q, k)
    )
    y, v = _pairs(q_, k_, v_a)
    none = (d_s == 0)[..., None]
    u = np.where(none, 0, d_s[..., None] * (1 - y * y))
    d_q = np.sum(v * u, axis=-2)  # over the keys
    d_k = np.sum(v * u, axis=-3)  # over the queries
    d_v_a = np.sum(np.where(none, 0, d_s[..., None] * y), axis=(-2, -3))  # (..., H, A)
    while d_v_a.ndim > v_a.ndim:
        d_v_a = d_v_a.sum(axis=0)
    if q.ndim > 2:
        d_k = _sum_repeated(d_k, k.shape[-3])
    if not projected or w_q is None or w_k is None:
        return d_q, d_k, None, None, d_v_a, None
    d_q, d_w_q, d_b = project_rows_backward(d_q, q, w_q, b)
    d_k, d_w_k, _ = project_rows_backward(d_k, k, w_k)
    return d_q, d_k, d_w_q, d_w_k, d_v_a, d_b

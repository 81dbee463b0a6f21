"""pooled: one vector of a whole sequence

  forward    s_i = scale Σ_d w_d q_id k_id     α_i = exp(s_i) / Σ_j exp(s_j) over the allowed j
             out = Σ_i α_i v_i
  backward   dα_i = dout·v_i     ds_i = α_i (dα_i - Σ_j α_j dα_j)     dv_i = α_i dout
             dq_i = scale ds_i w ∘ k_i     dk_i = scale ds_i w ∘ q_i     dw = scale Σ_i ds_i q_i ∘ k_i

q, k: (..., L, D)  v: (..., L, Dv)  w: (D,) or None for ones  α = weights, mask: (..., L)  out: (..., Dv).
This is scaled_dot_product of one query, whose bias is s.
Article 000 §3.1 (its §3.2 goes over to one weight a pair of positions); with w article 001 §5.2, corrected.
"""

import numpy as np

from ._types import Array, Mask
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _one_query(
    q: Array, k: Array, v: Array, scale: float, w: Array | None
) -> tuple[Array, Array, Array, Array]:
    """Query and keys without features (..., 1, 1 or L, 0), values (..., 1, L, Dv), scores (..., 1, 1, L)."""
    scores = scale * np.sum((1.0 if w is None else w) * (q * k), axis=-1)  # (..., L)
    return v[..., None, :1, :0], v[..., None, :, :0], v[..., None, :, :], scores[..., None, None, :]


def pooled(
    q: Array, k: Array, v: Array, mask: Mask | None = None, scale: float = 1.0, w: Array | None = None
) -> tuple[Array, Array]:
    """-> out (..., Dv), weights (..., L)."""
    if v.shape[-2] == 0:
        return np.zeros((*v.shape[:-2], v.shape[-1]), v.dtype), np.zeros(v.shape[:-1], v.dtype)
    query, keys, values, scores = _one_query(q, k, v, scale, w)
    allowed = None if mask is None else np.broadcast_to(mask, v.shape[:-1])[..., None, None, :]
    out, weights, _ = scaled_dot_product(query, keys, values, allowed, scores, 1.0)
    return out[..., 0, 0, :], weights[..., 0, 0, :]


def pooled_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Mask | None = None,
    scale: float = 1.0,
    w: Array | None = None,
) -> tuple[Array, Array, Array, Array | None]:
    """d_out (..., Dv) -> d_q, d_k, d_v, d_w (None without w)."""
    if v.shape[-2] == 0:
        return np.zeros_like(q), np.zeros_like(k), np.zeros_like(v), None if w is None else np.zeros_like(w)
    query, keys, values, scores = _one_query(q, k, v, scale, w)
    allowed = None if mask is None else np.broadcast_to(mask, v.shape[:-1])[..., None, None, :]
    _, _, d_v, d_scores = scaled_dot_product_backward(
        d_out[..., None, None, :], query, keys, values, allowed, scores, 1.0
    )
    assert d_scores is not None
    d_s = scale * d_scores[..., 0, 0, :, None]  # (..., L, 1)
    weight = 1.0 if w is None else w
    d_q: Array = np.where(d_s == 0, 0, d_s * weight * k)
    d_k: Array = np.where(d_s == 0, 0, d_s * weight * q)
    d_w = None
    if w is not None:
        d_w = np.where(d_s == 0, 0, d_s * (q * k)).reshape(-1, w.size).sum(axis=0)
    return d_q, d_k, d_v[..., 0, :, :], d_w

"""top_k_attention: every row of weights pruned to its largest scores

  forward    s = scale Q Kᵀ   K_i = the `keep` largest of the allowed s_ij, of equals the first
             P_i = softmax over K_i of s_i   out = P V
  backward   attention's, with what is not in K_i masked

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  weights: (..., H, L, S)
mask: causal and lengths
The choice of K_i is constant but where two scores change places.
An allowed score that is NaN makes its row NaN.
Gupta et al. 2021; article 003 §8.4 (pruning).
"""

import math

import numpy as np

from ._types import Array, Mask
from .scaled_dot_product import _repeat_heads, scaled_dot_product, scaled_dot_product_backward


def kept_keys(
    q: Array, k: Array, keep: int, mask: Mask | None = None, scale: float | None = None
) -> tuple[Mask, Mask]:
    """-> (..., H, L, S): what is kept; (..., H, L, 1): where an allowed score is NaN."""
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    scores = scale * (q @ np.swapaxes(k, -1, -2))
    allowed = np.broadcast_to(True if mask is None else mask, scores.shape)
    nan = np.any(np.isnan(scores) & allowed, axis=-1, keepdims=True)
    ranked = np.where(allowed, np.where(nan, 0, scores), -np.inf)
    # Stable: of equals the first. What is not allowed comes behind an allowed -inf.
    order = np.lexsort((~allowed, -ranked), axis=-1)
    place = np.argsort(order, axis=-1, kind="stable")
    return (place < keep) & allowed, nan


def top_k_attention(
    q: Array, k: Array, v: Array, keep: int, mask: Mask | None = None, scale: float | None = None
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv), weights (..., H, L, S)."""
    kept, nan = kept_keys(q, k, keep, mask, scale)
    out, weights, _ = scaled_dot_product(q, k, v, kept, scale=scale)
    return np.where(nan, np.nan, out), np.where(nan & kept, np.nan, weights)


def top_k_attention_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    keep: int,
    mask: Mask | None = None,
    scale: float | None = None,
    d_weights: Array | None = None,
) -> tuple[Array, Array, Array]:
    """-> d_q, d_k, d_v."""
    kept, _ = kept_keys(q, k, keep, mask, scale)
    d_q, d_k, d_v, _ = scaled_dot_product_backward(d_out, q, k, v, kept, scale=scale, d_weights=d_weights)
    return d_q, d_k, d_v

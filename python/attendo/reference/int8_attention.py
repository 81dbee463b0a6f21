"""int8_attention: attention with scores from eight-bit integers

  forward    a_i = max_c |q_ic| / 127   n_i = round(q_i / a_i)   b_j, m_j alike from k      q̂ = a n   k̂ =
  b m
             s_ij = scale a_i b_j Σ_c n_ic m_jc   out = softmax(s) V
  backward   straight through the rounding: that of attention(q̂, k̂, v), dq = dq̂, dk = dk̂

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  mask: causal and lengths.  Halves round to even.
A row of q or k with NaN or inf in it has no scale: its scores are NaN.  A row of zeros has scale 0.
Jacob et al. 2018, eq. 1 with zero point 0; Bengio et al. 2013; articles 003 §8.4, 004 §9 (quantisation).
"""

import numpy as np

from ._types import Array, Mask
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def quantize_rows(x: Array) -> tuple[Array, Array]:
    """-> whole numbers from -127 to 127 of x's shape, scales (..., 1)."""
    most = np.max(np.abs(x), axis=-1, keepdims=True, initial=0)
    finite = np.all(np.isfinite(x), axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        inverse = 127 / most
        usable = finite & np.isfinite(inverse)
        n: Array = np.where(usable, np.rint(x * inverse), 0)
    scale: Array = np.where(finite, np.where(usable, most / 127, 0), np.nan)
    return n, scale


def dequantized(x: Array) -> Array:
    n, scale = quantize_rows(x)
    return n * scale


def int8_attention(
    q: Array, k: Array, v: Array, mask: Mask | None = None, scale: float | None = None
) -> Array:
    """-> out (..., H, L, Dv)."""
    return scaled_dot_product(dequantized(q), dequantized(k), v, mask, scale=scale)[0]


def int8_attention_backward(
    d_out: Array, q: Array, k: Array, v: Array, mask: Mask | None = None, scale: float | None = None
) -> tuple[Array, Array, Array]:
    """-> d_q, d_k, d_v."""
    d_q, d_k, d_v, _ = scaled_dot_product_backward(
        d_out, dequantized(q), dequantized(k), v, mask, scale=scale
    )
    return d_q, d_k, d_v

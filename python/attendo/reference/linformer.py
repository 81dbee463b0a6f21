"""linformer: attention over r mixtures of the keys and values

  forward    k'_t = Σ_j E_tj k_j    v'_t = Σ_j F_tj v_j    out = softmax(scale Q K'ᵀ) V'
  backward   dk', dv' of attention   dk = Eᵀ dk'   dE = dk' kᵀ   dv = Fᵀ dv'   dF = dv' vᵀ

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  E, F: (r, S) or (Hkv, r, S)  k', v': (...,
Hkv, r, ·) weights: (..., H, L, r), over the mixtures, not over the keys. Of a sample of length n only the
first n columns of E and F count, and only the first n keys and values. Wang et al. 2020, eq. 7.
"""

import numpy as np

from ._types import Array
from .arithmetic import unbroadcast
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _real(x: Array, lengths: Array | None) -> Array:
    """(..., Hkv, S, D) with zeros, which add nothing, behind each sample's length."""
    if lengths is None:
        return x
    shape = x.shape[: max(0, x.ndim - 3)]
    there = np.arange(x.shape[-2]) < np.reshape(lengths, (*shape, *(1,) * (min(x.ndim, 3) - 1)))
    selected: Array = np.where(there[..., None], x, 0)
    return selected


def linformer(
    q: Array,
    k: Array,
    v: Array,
    proj_k: Array,
    proj_v: Array | None = None,
    lengths: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv), weights (..., H, L, r)."""
    proj_v = proj_k if proj_v is None else proj_v
    short_k, short_v = proj_k @ _real(k, lengths), proj_v @ _real(v, lengths)
    out, weights, _ = scaled_dot_product(q, short_k, short_v, scale=scale)
    return out, weights


def linformer_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    proj_k: Array,
    proj_v: Array | None = None,
    lengths: Array | None = None,
    scale: float | None = None,
    d_weights: Array | None = None,
) -> tuple[Array, ...]:
    """-> d_q, d_k, d_v, d_proj_k and, where proj_v is given, d_proj_v."""
    e, f = proj_k, proj_k if proj_v is None else proj_v
    k, v = _real(k, lengths), _real(v, lengths)
    d_q, d_short_k, d_short_v, _ = scaled_dot_product_backward(
        d_out, q, e @ k, f @ v, scale=scale, d_weights=d_weights
    )
    d_k = _real(np.swapaxes(e, -1, -2) @ d_short_k, lengths)
    d_v = _real(np.swapaxes(f, -1, -2) @ d_short_v, lengths)
    d_e = unbroadcast(d_short_k @ np.swapaxes(k, -1, -2), e.shape)
    d_f = unbroadcast(d_short_v @ np.swapaxes(v, -1, -2), f.shape)
    return (d_q, d_k, d_v, d_e + d_f) if proj_v is None else (d_q, d_k, d_v, d_e, d_f)

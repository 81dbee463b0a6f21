"""performer: softmax attention by random features, FAVOR+

  forward    φ(x)  = exp(W x' - |x'|²/2),  x' = √scale x     kernel softmax: E_W[φ(q)·φ(k)] = m exp(scale q·k)
                     max(W x, 0) / √m + 0.001                kernel relu
             A_ij  = φ(q_i)·φ(k_j)         out_i = Σ_j A_ij v_j / Σ_j A_ij       over the keys i may attend to
  backward   dA_ij = (do_i·v_j - do_i·out_i) / Σ_j A_ij
             dφ(q_i) = Σ_j dA_ij φ(k_j)    dφ(k_j) = Σ_i dA_ij φ(q_i)
             dz = dφ ∘ φ,   dx' = dz W - x' Σ_f dz_f,   dW = Σ dz x'ᵀ                     z = x' Wᵀ

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  W = w: (m, D), rows of normal numbers
The cost is that of all pairs: the definition, without what makes it worth having.  A factor of φ(q_i), and
one of all φ(k_j) that i sees, cancels; here the largest exponent is taken out of both.
Choromanski et al. 2021, lemma 1, theorem 2, §2.4.
"""

import math

import numpy as np

from ._types import Array, Ids, Mask
from .scaled_dot_product import _repeat_heads, _sum_repeated


def _allowed(q: Array, k: Array, causal: bool, lengths: Ids | None) -> Mask:
    """(..., L, S), and an axis of heads where there are some."""
    length, keys = q.shape[-2], k.shape[-2]
    allowed = np.tri(length, keys, dtype=bool) if causal else np.ones((length, keys), dtype=bool)
    if lengths is None:
        return allowed
    inside = np.arange(keys) < np.asarray(lengths)[:, None]  # (batch, S)
    inside = inside.reshape(*q.shape[:-3], *([1] if q.ndim > 2 else []), 1, keys)
    y: Mask = allowed & inside
    return y


def _exponents(x: Array, w: Array, scale: float, kernel: str) -> tuple[Array, Array]:
    """x' and the logarithm of φ(x), or φ(x) itself of the relu kernel."""
    if kernel == "relu":
        return x, np.maximum(x @ w.T, 0) / math.sqrt(w.shape[0]) + 1e-3
    root: Array = math.sqrt(scale) * x
    return root, root @ w.T - np.sum(root**2, axis=-1, keepdims=True) / 2


def _weights(
    q: Array, k: Array, w: Array, scale: float, kernel: str, allowed: Mask
) -> tuple[Array, Array, Array]:
    """φ(q) (..., L, m), φ(k) as each query sees it (..., L or 1, S, m), A (..., L, S)."""
    log_q, log_k = _exponents(q, w, scale, kernel)[1], _exponents(k, w, scale, kernel)[1]
    if kernel == "relu":
        phi_q, phi_k = log_q, log_k[..., None, :, :]
    else:
        phi_q = np.exp(log_q - np.max(log_q, axis=-1, keepdims=True))
        seen = np.where(allowed, np.max(log_k, axis=-1)[..., None, :], -np.inf)  # (..., L, S)
        largest = np.max(seen, axis=-1, initial=-np.inf)
        largest = np.where(largest == -np.inf, 0, largest)[..., None, None]
        phi_k = np.exp(np.where(allowed[..., None], log_k[..., None, :, :] - largest, -np.inf))
    a = np.where(
        allowed, np.einsum("...lf,...lsf->...ls", phi_q, np.broadcast_to(phi_k, _pairs(phi_q, phi_k))), 0
    )
    return phi_q, phi_k, a


def _pairs(phi_q: Array, phi_k: Array) -> tuple[int, ...]:
    return (*phi_q.shape[:-1], *phi_k.shape[-2:])


def performer(
    q: Array,
    k: Array,
    v: Array,
    w: Array,
    kernel: str = "softmax",
    causal: bool = False,
    lengths: Ids | None = None,
    scale: float | None = None,
) -> Array:
    """q, k, v, w -> out (..., H, L, Dv)."""
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    allowed = _allowed(q, k, causal, lengths)
    if q.ndim > 2:
        k, v = _repeat_heads(k, q.shape[-3]), _repeat_heads(v, q.shape[-3])
    a = _weights(q, k, w, factor, kernel, allowed)[2]
    total = np.sum(a, axis=-1, keepdims=True)
    out: Array = (a / np.where(total == 0, 1, total)) @ v
    return out


def performer_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    w: Array,
    kernel: str = "softmax",
    causal: bool = False,
    lengths: Ids | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Array, Array]:
    """d_out (..., H, L, Dv) -> d_q, d_k, d_v, d_w."""
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    allowed = _allowed(q, k, causal, lengths)
    kv_heads = k.shape[-3] if q.ndim > 2 else 0
    if q.ndim > 2:
        k, v = _repeat_heads(k, q.shape[-3]), _repeat_heads(v, q.shape[-3])
    phi_q, phi_k, a = _weights(q, k, w, factor, kernel, allowed)
    total = np.sum(a, axis=-1, keepdims=True)
    total = np.where(total == 0, 1, total)
    out = (a / total) @ v
    d_v: Array = np.swapaxes(a / total, -1, -2) @ d_out
    d_a = np.where(
        allowed, (d_out @ np.swapaxes(v, -1, -2) - np.sum(d_out * out, -1, keepdims=True)) / total, 0
    )
    pairs = np.broadcast_to(phi_k, _pairs(phi_q, phi_k))
    if kernel == "relu":
        slope_q, slope_k = ((x @ w.T > 0) / math.sqrt(w.shape[0]) for x in (q, k))
        d_z_q = np.einsum("...ls,...lsf->...lf", d_a, pairs) * slope_q
        d_z_k = np.einsum("...ls,...lf->...sf", d_a, phi_q) * slope_k
        x_q, x_k = q, k
        d_q, d_k = d_z_q @ w, d_z_k @ w
    else:
        both = d_a[..., None] * phi_q[..., :, None, :] * pairs  # (..., L, S, m): φ is its own slope
        d_z_q, d_z_k = both.sum(axis=-2), both.sum(axis=-3)
        x_q, x_k = math.sqrt(factor) * q, math.sqrt(factor) * k
        d_q = math.sqrt(factor) * (d_z_q @ w - x_q * d_z_q.sum(axis=-1, keepdims=True))
        d_k = math.sqrt(factor) * (d_z_k @ w - x_k * d_z_k.sum(axis=-1, keepdims=True))
    m, width = w.shape
    d_w = d_z_q.reshape(-1, m).T @ x_q.reshape(-1, width) + d_z_k.reshape(-1, m).T @ x_k.reshape(-1, width)
    if kv_heads:
        d_k, d_v = _sum_repeated(d_k, kv_heads), _sum_repeated(d_v, kv_heads)
    return d_q, d_k, d_v, d_w

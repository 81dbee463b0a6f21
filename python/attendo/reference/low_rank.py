"""low_rank: attention whose scores are made from r of D features

  forward    out = attention(Q A, K B, V)      scores scale Q (A Bᵀ) Kᵀ
  backward   dQ = d(QA) Aᵀ   dA = Qᵀ d(QA)   dK = d(KB) Bᵀ   dB = Kᵀ d(KB)
  basis      Q Kᵀ ≈ (Q A)(K B)ᵀ, the nearest of rank r: with U Σ Wᵀ = Q Kᵀ,  A = Kᵀ W_r,  B = K⁺ W_r

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  A, B: (D, r) or (Hkv, D, r)  mask: as
attention's scale is 1 / √D unless given: that of D features, not of r. Eckart and Young 1936; articles 000
§8.2, 003 §8.4 (matrix decomposition).
"""

import math

import numpy as np

from ._types import Array, Mask
from .arithmetic import unbroadcast
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _of_queries(basis: Array, q: Array) -> Array:
    """(Hkv, D, r) -> (H, D, r): each once for every query head that uses it."""
    if basis.ndim == 2 or basis.shape[0] == 0:
        return basis
    repeated: Array = np.repeat(basis, q.shape[-3] // basis.shape[0], axis=0)
    return repeated


def _selected(x: Array, d_y: Array) -> Array:
    """Rows of x whose gradient is 0 count for nothing, whatever they hold."""
    rows: Array = np.where(np.any(d_y != 0, axis=-1, keepdims=True), x, 0)
    return rows


def low_rank(
    q: Array,
    k: Array,
    v: Array,
    basis_q: Array,
    basis_k: Array | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv), weights (..., H, L, S)."""
    a, b = basis_q, basis_q if basis_k is None else basis_k
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    out, weights, _ = scaled_dot_product(q @ _of_queries(a, q), k @ b, v, mask, scale=scale)
    return out, weights


def low_rank_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    basis_q: Array,
    basis_k: Array | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
    d_weights: Array | None = None,
) -> tuple[Array, ...]:
    """-> d_q, d_k, d_v, d_basis_q and, where basis_k is given, d_basis_k."""
    b = basis_q if basis_k is None else basis_k
    a = _of_queries(basis_q, q)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    d_qa, d_kb, d_v, _ = scaled_dot_product_backward(
        d_out, q @ a, k @ b, v, mask, scale=scale, d_weights=d_weights
    )
    d_q, d_k = d_qa @ np.swapaxes(a, -1, -2), d_kb @ np.swapaxes(b, -1, -2)
    d_a = unbroadcast(np.swapaxes(_selected(q, d_qa), -1, -2) @ d_qa, a.shape)
    if a.ndim == 3:
        heads, features, rank = basis_q.shape
        d_a = d_a.reshape(heads, -1, features, rank).sum(axis=1)
    d_b = unbroadcast(np.swapaxes(_selected(k, d_kb), -1, -2) @ d_kb, b.shape)
    return (d_q, d_k, d_v, d_a + d_b) if basis_k is None else (d_q, d_k, d_v, d_a, d_b)


def low_rank_basis(q: Array, k: Array, rank: int) -> tuple[Array, Array]:
    """q (L, D), k (S, D) of one head -> A, B (D, rank)."""
    _, _, right = np.linalg.svd(q @ k.T, full_matrices=False)
    w = right[:rank].T  # (S, rank)
    return k.T @ w, np.linalg.pinv(k) @ w

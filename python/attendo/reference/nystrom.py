"""nystrom: softmax(Q Kᵀ) V by way of m landmarks

  forward    q̃_t, k̃_t = means of segment t: positions ⌊t n/m⌋ to ⌊(t+1) n/m⌋, one at least, of the n that
  are there
             A = softmax(scale Q̃ K̃ᵀ)   T = softmax(scale Q̃ Kᵀ) V   out = softmax(scale Q K̃ᵀ) (Z T)
             Z_0 = Aᵀ / max_j Σ_i A_ij   X = A Z   Z ← ¼ Z (13 I - X (15 I - X (7 I - X)))
  backward   the same steps from the last to the first

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  Q̃, K̃: (..., H, m, D)  A, Z: (..., H, m, m)
Keys behind `lengths` and queries behind `q_lengths` do not count; those queries get zeros.
Xiong et al. 2021, eq. 7 and 13, algorithm 1; Razavi et al. 2014 (the iteration).
"""

import math

import numpy as np

from ._types import Array, Mask
from .scaled_dot_product import (
    _repeat_heads,
    _sum_repeated,
    scaled_dot_product,
    scaled_dot_product_backward,
)
from .softmax import softmax, softmax_backward


def _means(n: int, positions: int, landmarks: int) -> Array:
    """(m, N): row t averages segment t of the first n of N positions."""
    mean = np.zeros((landmarks, positions))
    for t in range(landmarks if n > 0 else 0):
        begin = t * n // landmarks
        end = max(begin + 1, (t + 1) * n // landmarks)
        mean[t, begin:end] = 1 / (end - begin)
    return mean


def _averages(x: Array, lengths: Array | None, landmarks: int) -> Array:
    """(..., 1, m, N), or (m, N) when no sample is shorter."""
    positions = x.shape[-2]
    if lengths is None:
        return _means(positions, positions, landmarks).astype(x.dtype)
    each = np.stack([_means(int(n), positions, landmarks) for n in np.ravel(lengths)])
    shape = (*x.shape[:-3], 1) if x.ndim > 2 else ()
    reshaped: Array = each.reshape(*shape, landmarks, positions).astype(x.dtype)
    return reshaped


def _there(x: Array, lengths: Array | None) -> Mask:
    """(..., 1, N, 1): the positions before each sample's length."""
    if lengths is None:
        return np.ones((x.shape[-2], 1), dtype=bool)
    shape = (*x.shape[:-3], 1) if x.ndim > 2 else ()
    there: Mask = np.arange(x.shape[-2])[:, None] < np.reshape(lengths, (*shape, 1, 1))
    return there


def iterative_pseudo_inverse(a: Array, iterations: int) -> list[Array]:
    """(..., m, m) -> Z_0 … Z_iterations."""
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    column_sums = np.sum(a, axis=-2)
    steps = [np.swapaxes(a, -1, -2) / np.max(column_sums, axis=-1)[..., None, None]]
    for _ in range(iterations):
        z = steps[-1]
        x = a @ z
        steps.append(z @ (13 * eye - x @ (15 * eye - x @ (7 * eye - x))) / 4)
    return steps


def iterative_pseudo_inverse_backward(d_z: Array, a: Array, iterations: int) -> Array:
    """d_z of the last Z -> d_a."""

    def t(x: Array) -> Array:
        return np.swapaxes(x, -1, -2)

    eye = np.eye(a.shape[-1], dtype=a.dtype)
    steps = iterative_pseudo_inverse(a, iterations)
    d_a = np.zeros_like(a)
    for z in steps[-2::-1]:
        x = a @ z
        w1 = 7 * eye - x
        w2 = 15 * eye - x @ w1
        w3 = 13 * eye - x @ w2
        d_w3 = t(z) @ d_z / 4
        d_w2 = -t(x) @ d_w3
        d_w1 = -t(x) @ d_w2
        d_x = -d_w3 @ t(w2) - d_w2 @ t(w1) - d_w1
        d_a += d_x @ t(z)
        d_z = d_z @ t(w3) / 4 + t(a) @ d_x
    column_sums = np.sum(a, axis=-2)
    largest = np.argmax(column_sums, axis=-1)[..., None, None]
    c = np.max(column_sums, axis=-1)[..., None, None]
    d_a += t(d_z) / c
    d_c = -np.sum(t(d_z) * a, axis=(-1, -2), keepdims=True) / c**2
    gradient: Array = d_a + np.where(np.arange(a.shape[-1]) == largest, d_c, 0)
    return gradient


def _parts(
    q: Array, k: Array, landmarks: int, lengths: Array | None, q_lengths: Array | None
) -> tuple[Array, Array, Array, Array]:
    """The averaging matrices of queries and keys, Q̃, and K̃ once for every query head."""
    of_q, of_k = _averages(q, q_lengths, landmarks), _averages(k, lengths, landmarks)
    few_q = of_q @ np.where(_there(q, q_lengths), q, 0)
    few_k = of_k @ np.where(_there(k, lengths), k, 0)
    if q.ndim > 2:
        few_k = _repeat_heads(few_k, q.shape[-3])
    return of_q, of_k, few_q, few_k


def _mask(k: Array, lengths: Array | None) -> Mask | None:
    return None if lengths is None else np.swapaxes(_there(k, lengths), -1, -2)


def nystrom(
    q: Array,
    k: Array,
    v: Array,
    landmarks: int,
    lengths: Array | None = None,
    q_lengths: Array | None = None,
    scale: float | None = None,
    iterations: int = 6,
) -> Array:
    """-> out (..., H, L, Dv)."""
    if q.size == 0 or k.size == 0 or v.size == 0:
        return scaled_dot_product(q, k, v, scale=scale)[0]
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    _, _, few_q, few_k = _parts(q, k, landmarks, lengths, q_lengths)
    a = softmax(scale * few_q @ np.swapaxes(few_k, -1, -2))
    z = iterative_pseudo_inverse(a, iterations)[-1]
    t, _, _ = scaled_dot_product(few_q, k, v, _mask(k, lengths), scale=scale)
    there = None if q_lengths is None else _there(q, q_lengths)
    out, _, _ = scaled_dot_product(q, few_k, z @ t, there, scale=scale)
    return out


def nystrom_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    landmarks: int,
    lengths: Array | None = None,
    q_lengths: Array | None = None,
    scale: float | None = None,
    iterations: int = 6,
) -> tuple[Array, Array, Array]:
    """-> d_q, d_k, d_v."""
    if q.size == 0 or k.size == 0 or v.size == 0:
        return scaled_dot_product_backward(d_out, q, k, v, scale=scale)[:3]
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    of_q, of_k, few_q, few_k = _parts(q, k, landmarks, lengths, q_lengths)
    a = softmax(scale * few_q @ np.swapaxes(few_k, -1, -2))
    z = iterative_pseudo_inverse(a, iterations)[-1]
    mask, there = _mask(k, lengths), None if q_lengths is None else _there(q, q_lengths)
    t, _, _ = scaled_dot_product(few_q, k, v, mask, scale=scale)

    # 1. through out = softmax(scale Q K̃ᵀ) (Z T)
    d_q, d_few_k, d_zt, _ = scaled_dot_product_backward(d_out, q, few_k, z @ t, there, scale=scale)

    # 2. through T = softmax(scale Q̃ Kᵀ) V
    d_t = np.swapaxes(z, -1, -2) @ d_zt
    d_few_q, d_k, d_v, _ = scaled_dot_product_backward(d_t, few_q, k, v, mask, scale=scale)

    # 3. through Z and A
    d_z = d_zt @ np.swapaxes(t, -1, -2)
    (d_s,) = softmax_backward(
        iterative_pseudo_inverse_backward(d_z, a, iterations), scale * few_q @ np.swapaxes(few_k, -1, -2)
    )
    d_few_q = d_few_q + scale * d_s @ few_k
    d_few_k = d_few_k + scale * np.swapaxes(d_s, -1, -2) @ few_q

    # 4. through the means
    if q.ndim > 2:
        d_few_k = _sum_repeated(d_few_k, k.shape[-3])
    return d_q + np.swapaxes(of_q, -1, -2) @ d_few_q, d_k + np.swapaxes(of_k, -1, -2) @ d_few_k, d_v

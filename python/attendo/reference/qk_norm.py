"""qk_norm: queries and keys are normalised before their products

  l2    y = x / ‖x‖                      dx = (dy - y (y·dy)) / ‖x‖         0 where x = 0
  rms   y = w x̂,  x̂ = x r,  r = 1/√(mean x² + ε)
        dx = r (g - x̂ mean(g x̂)),  g = w dy         dw = Σ_rows dy x̂

x, y: (..., H, N, D), row by row.  w: (D,), (H, D) or None.
A row whose gradient is 0 gets 0, whatever it holds.
Henry et al. 2020; Zhang and Sennrich 2019.
"""

import numpy as np

from ._types import Array


def _spread(weight: Array | None) -> Array | float:
    """The weight so that it multiplies (..., H, N, D)."""
    if weight is None:
        return 1.0
    return weight if weight.ndim == 1 else weight[:, None, :]


def _lengths(x: Array) -> Array:
    """‖x‖ of every row (..., N, 1); squares of numbers up to 1."""
    largest = np.max(np.abs(x), axis=-1, keepdims=True, initial=0)
    unit = np.where(largest == 0, 1, largest)
    length: Array = unit * np.sqrt(np.sum((x / unit) ** 2, axis=-1, keepdims=True))
    return length


def l2_normalize(x: Array) -> Array:
    length = _lengths(x)
    y: Array = np.where(length == 0, 0, x / np.where(length == 0, 1, length))
    return y


def l2_normalize_backward(d_y: Array, x: Array) -> Array:
    length = _lengths(x)
    y = l2_normalize(x)
    d_x = (d_y - y * np.sum(y * d_y, axis=-1, keepdims=True)) / np.where(length == 0, 1, length)
    nothing = (length == 0) | np.all(d_y == 0, axis=-1, keepdims=True)
    selected: Array = np.where(nothing, 0, d_x)
    return selected


def rms_normalize(x: Array, weight: Array | None = None, eps: float = 1e-6) -> Array:
    y: Array = _spread(weight) * x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return y


def rms_normalize_backward(
    d_y: Array, x: Array, weight: Array | None = None, eps: float = 1e-6
) -> tuple[Array, Array | None]:
    """-> d_x, d_weight (None without one)."""
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    x_hat, g = x * r, _spread(weight) * d_y
    nothing = np.all(d_y == 0, axis=-1, keepdims=True)
    d_x: Array = np.where(nothing, 0, r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True)))
    if weight is None:
        return d_x, None
    d_weight = np.sum(np.where(nothing, 0, d_y * x_hat), axis=-2)  # (..., H, D)
    while d_weight.ndim > weight.ndim:
        d_weight = d_weight.sum(axis=0)
    return d_x, d_weight


def qk_norm(
    q: Array, k: Array, norm: str | None, weights: tuple[Array | None, Array | None] = (None, None)
) -> tuple[Array, Array]:
    """norm: "rms", "l2" or None -> q and k as the scores see them."""
    if norm == "l2":
        return l2_normalize(q), l2_normalize(k)
    if norm == "rms":
        return rms_normalize(q, weights[0]), rms_normalize(k, weights[1])
    return q, k


def qk_norm_backward(
    d_q: Array,
    d_k: Array,
    q: Array,
    k: Array,
    norm: str | None,
    weights: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array, Array | None, Array | None]:
    """Gradients of what qk_norm returned -> d_q, d_k, d_q_weight, d_k_weight."""
    if norm == "l2":
        return l2_normalize_backward(d_q, q), l2_normalize_backward(d_k, k), None, None
    if norm == "rms":
        d_q, d_q_weight = rms_normalize_backward(d_q, q, weights[0])
        d_k, d_k_weight = rms_normalize_backward(d_k, k, weights[1])
        return d_q, d_k, d_q_weight, d_k_weight
    return d_q, d_k, None, None

"""rms_norm over the last axis

  forward    r = 1 / √((1/n) Σ_j x_j² + ε)      x̂_j = x_j r      y_j = w_j x̂_j
  backward   g_j  = dy_j w_j                                            (= dx̂_j)
             dx_j = r (g_j - x̂_j (1/n) Σ_k g_k x̂_k)
             dw_j = Σ_rows dy_j x̂_j

x, y: (..., n)  w = weight: (n,); may be absent (w = 1)
Zhang and Sennrich 2019, eq. 4.
"""

import numpy as np

from ._types import Array


def _normalize(x: Array, eps: float) -> tuple[Array, Array]:
    """x̂ (..., n) and r (..., 1)."""
    r: Array = 1 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)
    x_hat: Array = x * r
    return x_hat, r


def rms_norm(x: Array, weight: Array | None = None, eps: float = 1e-6) -> Array:
    """x (..., n), weight (n,) -> (..., n)."""
    y, _ = _normalize(x, eps)
    return y if weight is None else y * weight


def rms_norm_backward(
    d_y: Array, x: Array, weight: Array | None = None, eps: float = 1e-6
) -> tuple[Array, Array | None]:
    """d_y (..., n) -> d_x (..., n), d_weight (n,); None for an absent weight."""
    x_hat, r = _normalize(x, eps)
    g = d_y if weight is None else d_y * weight
    d_x: Array = r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    if weight is None:
        return d_x, None
    d_weight: Array = np.sum(d_y * x_hat, axis=tuple(range(x.ndim - 1)))
    return d_x, d_weight

"""layer_norm over the last axis

  forward    μ = (1/n) Σ_j x_j     σ² = (1/n) Σ_j (x_j - μ)²     rstd = 1 / √(σ² + ε)
             x̂_j = (x_j - μ) rstd
             y_j = γ_j x̂_j + β_j
  backward   g_j  = dy_j γ_j                                            (= dx̂_j)
             dx_j = rstd (g_j - (1/n) Σ_k g_k - x̂_j (1/n) Σ_k g_k x̂_k)
             dγ_j = Σ_rows dy_j x̂_j        dβ_j = Σ_rows dy_j

x, y: (..., n)  γ = weight: (n,)  β = bias: (n,); either may be absent (γ = 1, β = 0)
Ba, Kiros and Hinton 2016, eq. 3; article 002 §5.2 and §9 Q3.
"""

import numpy as np

from ._types import Array


def _normalize(x: Array, eps: float) -> tuple[Array, Array]:
    """x̂ (..., n) and rstd (..., 1)."""
    mean: Array = np.mean(x, axis=-1, keepdims=True)
    variance: Array = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
    rstd: Array = 1 / np.sqrt(variance + eps)
    x_hat: Array = (x - mean) * rstd
    return x_hat, rstd


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5) -> Array:
    """x (..., n), weight (n,), bias (n,) -> (..., n)."""
    y, _ = _normalize(x, eps)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y


def layer_norm_backward(
    d_y: Array, x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Array | None, Array | None]:
    """d_y (..., n) -> d_x (..., n), d_weight (n,), d_bias (n,); None for an absent weight or bias."""
    x_hat, rstd = _normalize(x, eps)
    g = d_y if weight is None else d_y * weight
    mean_g = np.mean(g, axis=-1, keepdims=True)
    mean_g_x_hat = np.mean(g * x_hat, axis=-1, keepdims=True)
    d_x: Array = rstd * (g - mean_g - x_hat * mean_g_x_hat)

    rows = tuple(range(x.ndim - 1))
    d_weight: Array | None = None if weight is None else np.sum(d_y * x_hat, axis=rows)
    d_bias: Array | None = None if bias is None else np.sum(d_y, axis=rows)
    return d_x, d_weight, d_bias

"""group_norm: each group of neighbouring channels of a sample

  forward    μ, σ² of a group: mean and variance over its channels and all positions     rstd = 1 / √(σ² + ε)
             x̂ = (x - μ) rstd      y_c = γ_c x̂_c + β_c
  backward   g_c = dy_c γ_c                                            (= dx̂_c)
             dx  = rstd (g - mean(g) - x̂ mean(g x̂)),  means over the group
             dγ_c = Σ dy_c x̂_c      dβ_c = Σ dy_c      over batch and positions

x, y: (B, C, ...)  γ = weight: (C,)  β = bias: (C,); either may be absent (γ = 1, β = 0)
Wu and He 2018, eq. 7.
"""

import numpy as np

from ._types import Array


def _normalize(x: Array, num_groups: int, eps: float) -> tuple[Array, Array]:
    """x̂ (B, G, n) and rstd (B, G, 1) of the groups' n entries."""
    n = x.shape[1] // num_groups * int(np.prod(x.shape[2:]))
    groups = x.reshape(x.shape[0], num_groups, n)
    mean = np.mean(groups, axis=-1, keepdims=True)
    variance = np.mean((groups - mean) ** 2, axis=-1, keepdims=True)
    rstd: Array = 1 / np.sqrt(variance + eps)
    x_hat: Array = (groups - mean) * rstd
    return x_hat, rstd


def _per_channel(parameter: Array, x: Array) -> Array:
    """(C,) so that it multiplies (B, C, ...)."""
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))


def group_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, num_groups: int = 1, eps: float = 1e-5
) -> Array:
    """x (B, C, ...), weight (C,), bias (C,) -> (B, C, ...)."""
    y = _normalize(x, num_groups, eps)[0].reshape(x.shape)
    if weight is not None:
        y = y * _per_channel(weight, x)
    if bias is not None:
        y = y + _per_channel(bias, x)
    return y


def group_norm_backward(
    d_y: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    num_groups: int = 1,
    eps: float = 1e-5,
) -> tuple[Array, Array | None, Array | None]:
    """d_y (B, C, ...) -> d_x (B, C, ...), d_weight (C,), d_bias (C,); None for an absent weight or bias."""
    x_hat, rstd = _normalize(x, num_groups, eps)
    g = (d_y if weight is None else d_y * _per_channel(weight, x)).reshape(x_hat.shape)
    mean_g = np.mean(g, axis=-1, keepdims=True)
    mean_g_x_hat = np.mean(g * x_hat, axis=-1, keepdims=True)
    d_x: Array = (rstd * (g - mean_g - x_hat * mean_g_x_hat)).reshape(x.shape)

    others = (0, *range(2, x.ndim))
    d_weight = None if weight is None else np.sum(d_y * x_hat.reshape(x.shape), axis=others)
    d_bias = None if bias is None else np.sum(d_y, axis=others)
    return d_x, d_weight, d_bias

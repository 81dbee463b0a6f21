"""batch_norm: each channel normalized over the batch and the positions

  training   μ = (1/n) Σ x     σ² = (1/n) Σ (x - μ)²          sums over the n values of the channel
  otherwise  μ = running_mean  σ² = running_var
  forward    rstd = 1 / √(σ² + ε)     x̂ = (x - μ) rstd     y = γ x̂ + β
  backward   g = dy γ
             training   dx = rstd (g - (1/n) Σ g - x̂ (1/n) Σ g x̂)
             otherwise  dx = rstd g                            (μ and σ² do not depend on x)
             dγ = Σ dy x̂        dβ = Σ dy
  running    running_mean ← (1 - momentum) running_mean + momentum μ
             running_var  ← (1 - momentum) running_var  + momentum σ² n / (n - 1)

x, y: (B, C) or (B, C, ...)  γ = weight, β = bias, running_mean, running_var: (C,).
y is made with the variance over n, the running variance with that over n - 1, as in PyTorch.
Ioffe and Szegedy 2015, algorithm 1; article 000 §4.3.
"""

import numpy as np

from ._types import Array


def _per_channel(values: Array, ndim: int) -> Array:
    """(C,) -> (1, C, 1, ...), to broadcast against x."""
    shaped: Array = values.reshape((1, -1) + (1,) * (ndim - 2))
    return shaped


def _all_but_channel(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _normalize(
    x: Array, running_mean: Array, running_var: Array, training: bool, eps: float
) -> tuple[Array, Array]:
    """x̂ like x and rstd (1, C, 1, ...)."""
    if training:
        mean: Array = np.mean(x, axis=_all_but_channel(x), keepdims=True)
        variance: Array = np.mean((x - mean) ** 2, axis=_all_but_channel(x), keepdims=True)
    else:
        mean = _per_channel(running_mean, x.ndim)
        variance = _per_channel(running_var, x.ndim)
    rstd: Array = 1 / np.sqrt(variance + eps)
    x_hat: Array = (x - mean) * rstd
    return x_hat, rstd


def batch_norm(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """x (B, C, ...) -> y like x.  Changes nothing; batch_norm_running gives the new running statistics."""
    y, _ = _normalize(x, running_mean, running_var, training, eps)
    if weight is not None:
        y = y * _per_channel(weight, x.ndim)
    if bias is not None:
        y = y + _per_channel(bias, x.ndim)
    return y


def batch_norm_running(
    x: Array, running_mean: Array, running_var: Array, momentum: float = 0.1
) -> tuple[Array, Array]:
    """The running mean (C,) and variance (C,) after a training step on x (B, C, ...)."""
    n = x.size // x.shape[1]
    if n < 2:
        raise ValueError("batch_norm: training needs more than one value per channel")
    mean = np.mean(x, axis=_all_but_channel(x))
    unbiased = np.var(x, axis=_all_but_channel(x)) * n / (n - 1)
    new_mean: Array = (1 - momentum) * running_mean + momentum * mean
    new_var: Array = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var


def batch_norm_backward(
    d_y: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Array | None, Array | None]:
    """d_y like x -> d_x, d_weight (C,), d_bias (C,).  Running statistics have no gradient."""
    axes = _all_but_channel(x)
    x_hat, rstd = _normalize(x, running_mean, running_var, training, eps)
    g = d_y if weight is None else d_y * _per_channel(weight, x.ndim)
    if training:
        mean_g = np.mean(g, axis=axes, keepdims=True)
        mean_g_x_hat = np.mean(g * x_hat, axis=axes, keepdims=True)
        d_x: Array = rstd * (g - mean_g - x_hat * mean_g_x_hat)
    else:
        d_x = rstd * g
    d_weight: Array | None = None if weight is None else np.sum(d_y * x_hat, axis=axes)
    d_bias: Array | None = None if bias is None else np.sum(d_y, axis=axes)
    return d_x, d_weight, d_bias

"""softmax over one axis

  forward    y_j  = exp(x_j - m) / Σ_k exp(x_k - m),   m = max_k x_k
  backward   dx_j = y_j (dy_j - Σ_k dy_k y_k)

log_softmax over one axis

  forward    z_j  = x_j - m - log Σ_k exp(x_k - m)
  backward   dx_j = dz_j - softmax(x)_j Σ_k dz_k

x, y, z, dx, dy, dz: any shape; j and k run over `axis`.  Subtracting m changes nothing but the range of exp.
Why the backward:  ∂y_k/∂x_j = y_k (δ_jk - y_j),  so  dx_j = Σ_k dy_k y_k (δ_jk - y_j).
A row of -inf alone gives zeros (log_softmax: -inf) and a zero gradient; a NaN makes its whole row NaN.
Vaswani et al. 2017, eq. 1; articles 000 §3.2 step 2, 001 §4.2.
"""

import numpy as np

from ._types import Array


def softmax(x: Array, axis: int = -1) -> Array:
    """x (any shape) -> same shape; the sums over axis are 1, or 0 where every entry is -inf."""
    m = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    m = np.where(m == -np.inf, 0, m)  # -inf - (-inf) would be NaN
    exponentials = np.exp(x - m)
    total = np.sum(exponentials, axis=axis, keepdims=True)
    y: Array = exponentials / np.where(total == 0, 1, total)  # total is 0 only in a row of -inf
    return y


def softmax_backward(d_y: Array, x: Array, axis: int = -1) -> tuple[Array]:
    """d_y like x -> d_x like x."""
    y = softmax(x, axis)
    d_x: Array = y * (d_y - np.sum(d_y * y, axis=axis, keepdims=True))
    return (d_x,)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """x (any shape) -> log(softmax(x)), same shape, without taking the log of a rounded-off 0."""
    m = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    m = np.where(m == -np.inf, 0, m)
    total = np.sum(np.exp(x - m), axis=axis, keepdims=True)
    z: Array = x - m - np.log(np.where(total == 0, 1, total))
    return z


def log_softmax_backward(d_y: Array, x: Array, axis: int = -1) -> tuple[Array]:
    """d_y like x -> d_x like x."""
    d_x: Array = d_y - softmax(x, axis) * np.sum(d_y, axis=axis, keepdims=True)
    empty = np.all(x == -np.inf, axis=axis, keepdims=True)
    d_x = np.where(empty, 0, d_x)  # a row of -inf: constant, no gradient
    return (d_x,)

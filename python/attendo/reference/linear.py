"""linear: an affine map of the last axis

  forward    y = x Wᵀ + b              y_o  = Σ_i W_oi x_i + b_o
  backward   dx = dy W                 dx_i = Σ_o dy_o W_oi
             dW = dyᵀ x                dW_oi = Σ_rows dy_o x_i
             db = Σ_rows dy

x: (..., in)  W: (out, in)  b: (out,)  y: (..., out).  The rows are all the leading axes together.
Articles 000 §3.2, 003 §4.1: the projections Q = X W_Q, K = X W_K, V = X W_V (there W stands transposed).
"""

import numpy as np

from ._types import Array


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x (..., in), weight (out, in), bias (out,) or None -> (..., out)."""
    y: Array = x @ weight.T  # (..., out)
    if bias is not None:
        y = y + bias
    return y


def linear_backward(
    d_y: Array, x: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, Array, Array | None]:
    """d_y (..., out) -> d_x (..., in), d_weight (out, in), d_bias (out,), None where there is no bias."""
    out_features, in_features = weight.shape
    rows = int(np.prod(x.shape[:-1]))
    d_y_rows = d_y.reshape(rows, out_features)
    x_rows = x.reshape(rows, in_features)

    d_x: Array = d_y @ weight  # (..., in)
    d_weight: Array = d_y_rows.T @ x_rows  # (out, in)
    d_bias: Array | None = None if bias is None else d_y_rows.sum(axis=0)  # (out,)
    return d_x, d_weight, d_bias

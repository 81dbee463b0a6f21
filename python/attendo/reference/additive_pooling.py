"""additive_pooling: one vector of a sequence, by a score of each position

  forward    h_i = tanh(W x_i + b)      s_i = u·h_i      α = softmax over the allowed positions of s
             out = Σ_i α_i x_i
  backward   dα_i = dout·x_i      ds_i = α_i (dα_i - Σ_j α_j dα_j)      du = Σ_i ds_i h_i
             dz_i = ds_i u (1 - h_i²)      dW = Σ_i dz_i x_iᵀ      db = Σ_i dz_i
             dx_i = α_i dout + Wᵀ dz_i

x: (B, S, d)  W = hidden.weight: (units, d)  b = hidden.bias, u = context: (units,)  α: (B, S)  out: (B, d)
Yang et al. 2016, eq. 5-7; Lin et al. 2017, eq. 5.
"""

import numpy as np

from ._types import Array, Mask, Parameters
from .linear import linear, linear_backward


def _weights(x: Array, parameters: Parameters, mask: Mask | None) -> tuple[Array, Array]:
    """h (B, S, units) and α (B, S); a sample without an allowed position gives zeros."""
    h = np.tanh(linear(x, parameters["hidden.weight"], parameters["hidden.bias"]))
    scores = h @ parameters["context"]
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    largest = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = np.sum(e, axis=-1, keepdims=True)
    return h, e / np.where(total == 0, 1, total)


def additive_pooling(x: Array, parameters: Parameters, mask: Mask | None = None) -> tuple[Array, Array]:
    """x (B, S, d), mask (B, S) -> out (B, d), weights (B, S)."""
    _, weights = _weights(x, parameters, mask)
    return np.sum(weights[..., None] * x, axis=1), weights


def additive_pooling_backward(
    d_out: Array, x: Array, parameters: Parameters, mask: Mask | None = None
) -> tuple[Array, Parameters]:
    """d_out (B, d) -> d_x (B, S, d) and the gradients of the parameters by name."""
    h, weights = _weights(x, parameters, mask)
    d_weights = np.sum(d_out[:, None] * x, axis=-1)  # (B, S)
    d_scores = weights * (d_weights - np.sum(weights * d_weights, axis=-1, keepdims=True))
    d_z = d_scores[..., None] * parameters["context"] * (1 - h**2)  # (B, S, units)
    d_hidden, d_weight, d_bias = linear_backward(
        d_z, x, parameters["hidden.weight"], parameters["hidden.bias"]
    )
    assert d_bias is not None
    d_x: Array = weights[..., None] * d_out[:, None] + d_hidden
    d_context = np.sum(d_scores[..., None] * h, axis=(0, 1))
    return d_x, {"context": d_context, "hidden.weight": d_weight, "hidden.bias": d_bias}

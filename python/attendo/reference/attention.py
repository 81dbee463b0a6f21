"""attention: the layer of one head over features

  forward    Q = W_Q x     K = W_K x     V = W_V x     o = scaled_dot_product(Q, K, V)     y = fc(o)
  backward   the same path from the end; x is read three times: added

x: (B, N, in)  Q, K, V, o, y: (B, N, D)  weights: (B, N, N).
Parameters: W_Q, W_K, W_V and fc, each with .weight and .bias.
Article 000 §5.2, corrected: its product of Q and K lacks the transpose, and its N is the batch.
"""

import numpy as np

from ._types import Array, Mask, Parameters
from .linear import linear, linear_backward
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _projections(x: Array, parameters: Parameters) -> tuple[Array, Array, Array]:
    """Q, K and V with one head (B, 1, N, D)."""

    def projected(name: str) -> Array:
        y: Array = linear(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])[:, None]
        return y

    return projected("W_Q"), projected("W_K"), projected("W_V")


def attention(x: Array, parameters: Parameters, mask: Mask | None = None) -> tuple[Array, Array]:
    """x (B, N, in) -> y (B, N, D), weights (B, N, N); the mask broadcasts to (B, 1, N, N)."""
    q, k, v = _projections(x, parameters)
    out, weights, _ = scaled_dot_product(q, k, v, mask)
    return linear(out[:, 0], parameters["fc.weight"], parameters["fc.bias"]), weights[:, 0]


def attention_backward(
    d_y: Array, x: Array, parameters: Parameters, mask: Mask | None = None
) -> tuple[Array, Parameters]:
    """d_y (B, N, D) -> d_x and the gradients of the parameters by name."""
    q, k, v = _projections(x, parameters)
    out, _, _ = scaled_dot_product(q, k, v, mask)
    gradients: Parameters = {}
    d_out, d_weight, d_bias = linear_backward(d_y, out[:, 0], parameters["fc.weight"], parameters["fc.bias"])
    assert d_bias is not None
    gradients["fc.weight"], gradients["fc.bias"] = d_weight, d_bias
    *d_projected, _ = scaled_dot_product_backward(d_out[:, None], q, k, v, mask)
    d_x: Array = np.zeros_like(x)
    for name, d in zip(("W_Q", "W_K", "W_V"), d_projected, strict=True):
        assert d is not None
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        d_input, d_weight, d_bias = linear_backward(d[:, 0], x, weight, bias)
        assert d_bias is not None
        gradients[f"{name}.weight"], gradients[f"{name}.bias"] = d_weight, d_bias
        d_x = d_x + d_input
    return d_x, gradients

"""lora: a linear layer with a low-rank update of its weight

  forward    y = x Wᵀ + b + s h Bᵀ,   h = x Aᵀ          = x (W + s B A)ᵀ + b
  backward   g = s dy B     dx = dy W + g A     dW = dyᵀ x     dA = gᵀ x     dB = s dyᵀ h     db = Σ_rows dy

x: (..., in)  W: (out, in)  A: (r, in)  B: (out, r)  b: (out,)  y: (..., out)  h, g: (..., r).  s = α / r.
Hu et al. 2021, eq. 3 and §4.1.
"""

from ._types import Array
from .linear import linear, linear_backward


def lora(x: Array, weight: Array, a: Array, b: Array, bias: Array | None = None, scale: float = 1.0) -> Array:
    """x (..., in), weight (out, in), a (r, in), b (out, r), bias (out,) or None -> (..., out)."""
    hidden = linear(x, a)  # (..., r)
    y: Array = linear(x, weight, bias) + scale * linear(hidden, b)
    return y


def lora_backward(
    d_y: Array, x: Array, weight: Array, a: Array, b: Array, bias: Array | None = None, scale: float = 1.0
) -> tuple[Array, Array, Array, Array, Array | None]:
    """d_y (..., out) -> d_x, d_weight, d_a, d_b, d_bias, None where there is no bias."""
    d_x, d_weight, d_bias = linear_backward(d_y, x, weight, bias)
    d_hidden, d_b, _ = linear_backward(scale * d_y, linear(x, a), b)
    d_x_update, d_a, _ = linear_backward(d_hidden, x, a)
    return d_x + d_x_update, d_weight, d_a, d_b, d_bias

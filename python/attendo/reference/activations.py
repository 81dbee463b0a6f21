"""activations and other functions of one number, applied entry by entry

  function         forward y                                  backward dx
  relu             max(x, 0)                                  dy if x > 0, else 0
  gelu (none)      x Φ(x),  Φ(x) = (1 + erf(x/√2)) / 2        dy (Φ(x) + x φ(x)),  φ(x) = exp(-x²/2) / √(2π)
  gelu (tanh)      x (1 + t) / 2,  t = tanh(u),               dy ((1 + t)/2 + x (1 - t²) u' / 2),
                   u = √(2/π) (x + 0.044715 x³)               u' = √(2/π) (1 + 3·0.044715 x²)
  tanh             tanh x                                     dy (1 - y²)
  sigmoid          1 / (1 + exp(-x))                          dy y (1 - y)
  silu             x σ(x)                                     dy (σ(x) + x σ(x) (1 - σ(x)))
  quick_gelu       x σ(u),  u = 1.702 x                       dy (σ(u) + u σ(u) (1 - σ(u)))
  softplus         log(1 + exp(x))                            dy σ(x)
  exp              exp x                                      dy y
  log              log x                                      dy / x
  sqrt             √x                                         dy / (2 y)

x, y, dx, dy: any shape, all the same.
Hendrycks and Gimpel 2016 (gelu, quick_gelu); Elfwing et al. 2018 (silu); Dugas et al. 2001 (softplus);
articles 000 §5.2 (relu), 004 §5.3.2 (tanh).
"""

import math

import numpy as np

from ._types import Array


def relu(x: Array) -> Array:
    """max(x, 0); a NaN stays NaN."""
    y: Array = np.maximum(x, 0)
    return y


def relu_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y where x > 0, else 0: the derivative at the kink x = 0 is taken as 0."""
    d_x: Array = np.where(x > 0, d_y, 0)
    return (d_x,)


def _erf(x: Array) -> Array:
    y: Array = np.vectorize(math.erf, otypes=[x.dtype])(x)  # NumPy has no erf of its own
    return y


def gelu(x: Array, approximate: str = "none") -> Array:
    """x Φ(x); approximate is "none" (exact, erf) or "tanh"."""
    if approximate == "tanh":
        u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        y: Array = 0.5 * x * (1 + np.tanh(u))
    else:
        y = 0.5 * x * (1 + _erf(x / math.sqrt(2)))
    return y


def gelu_backward(d_y: Array, x: Array, approximate: str = "none") -> tuple[Array]:
    """d_y times the derivative of the form of gelu chosen."""
    if approximate == "tanh":
        t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        d_u = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        d_x: Array = d_y * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * d_u)
    else:
        cumulative = 0.5 * (1 + _erf(x / math.sqrt(2)))  # Φ(x)
        density = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)  # φ(x)
        d_x = d_y * (cumulative + x * density)
    return (d_x,)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    y: Array = np.tanh(x)
    return y


def tanh_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y (1 - tanh² x)."""
    d_x: Array = d_y * (1 - np.tanh(x) ** 2)
    return (d_x,)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), written with exp(-|x|) so that nothing overflows."""
    e = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, 1, e) / (1 + e)
    return y


def sigmoid_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y y (1 - y), with 1 - y = sigmoid(-x) so that nothing cancels."""
    d_x: Array = d_y * sigmoid(x) * sigmoid(-x)
    return (d_x,)


def silu(x: Array) -> Array:
    """x σ(x)."""
    y: Array = x * sigmoid(x)
    return y


def silu_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y (σ + x σ (1 - σ)), with 1 - σ(x) = σ(-x) so that nothing cancels."""
    d_x: Array = d_y * sigmoid(x) * (1 + x * sigmoid(-x))
    return (d_x,)


def quick_gelu(x: Array) -> Array:
    """x σ(1.702 x)."""
    y: Array = x * sigmoid(1.702 * x)
    return y


def quick_gelu_backward(d_y: Array, x: Array) -> tuple[Array]:
    """That of silu at u = 1.702 x, whose two factors 1.702 cancel."""
    return silu_backward(d_y, 1.702 * x)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), written with exp(-|x|) so that nothing overflows."""
    y: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def softplus_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y σ(x)."""
    d_x: Array = d_y * sigmoid(x)
    return (d_x,)


def exp(x: Array) -> Array:
    """e to the x."""
    y: Array = np.exp(x)
    return y


def exp_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y exp(x)."""
    d_x: Array = d_y * np.exp(x)
    return (d_x,)


def log(x: Array) -> Array:
    """The natural logarithm."""
    y: Array = np.log(x)
    return y


def log_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y / x."""
    d_x: Array = d_y / x
    return (d_x,)


def sqrt(x: Array) -> Array:
    """The square root."""
    y: Array = np.sqrt(x)
    return y


def sqrt_backward(d_y: Array, x: Array) -> tuple[Array]:
    """d_y / (2 √x)."""
    d_x: Array = d_y / (2 * np.sqrt(x))
    return (d_x,)

"""residual_norm: layer norm of a residual sum, with dropout on the branch

  forward    s = x + drop(r)      y = norm(s) = γ (s - μ) rstd + β      (dropout.py, layer_norm.py)
  backward   ds = d_norm(dy, s)   dx = ds   dr = drop(ds)               dγ, dβ of layer_norm

x, r, y, keep_mask: (..., n)  γ = weight: (n,)  β = bias: (n,); either may be absent
keep_mask absent: all is kept
Vaswani et al. 2017, §3.1 and §5.4; article 003 §5.2.
"""

from ._types import Array, Mask
from .dropout import dropout, dropout_backward
from .layer_norm import layer_norm, layer_norm_backward


def _sum(x: Array, r: Array, keep_mask: Mask | None, p: float) -> Array:
    s: Array = x + (r if keep_mask is None else dropout(r, keep_mask, p))
    return s


def residual_norm(
    x: Array,
    r: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    keep_mask: Mask | None = None,
    p: float = 0.0,
    eps: float = 1e-5,
) -> Array:
    """x and r (..., n), weight (n,), bias (n,) -> (..., n)."""
    return layer_norm(_sum(x, r, keep_mask, p), weight, bias, eps)


def residual_norm_backward(
    d_y: Array,
    x: Array,
    r: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    keep_mask: Mask | None = None,
    p: float = 0.0,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array | None, Array | None]:
    """d_y (..., n) -> d_x and d_r (..., n), d_weight (n,), d_bias (n,); None for an absent weight or bias."""
    d_s, d_weight, d_bias = layer_norm_backward(d_y, _sum(x, r, keep_mask, p), weight, bias, eps)
    d_r = d_s if keep_mask is None else dropout_backward(d_s, r, keep_mask, p)[0]
    return d_s, d_r, d_weight, d_bias

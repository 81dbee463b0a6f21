"""adapter: a narrow network with a residual, behind a frozen layer

  forward    y = x + f(x W_downᵀ + b_down) W_upᵀ + b_up
  backward   dx = dy + that of the feed-forward network, whose other gradients are the adapter's

x, y: (..., d)  W_down: (r, d)  b_down: (r,)  W_up: (d, r)  b_up: (d,).  f: relu, gelu, that with tanh, silu
Houlsby et al. 2019, §2.1 and fig. 2.
"""

from ._types import Array
from .feed_forward import feed_forward, feed_forward_backward


def adapter(
    x: Array, w_down: Array, b_down: Array, w_up: Array, b_up: Array, activation: str = "gelu"
) -> Array:
    """x (..., d) -> (..., d)."""
    y: Array = x + feed_forward(x, w_down, b_down, w_up, b_up, activation)
    return y


def adapter_backward(
    d_y: Array, x: Array, w_down: Array, b_down: Array, w_up: Array, b_up: Array, activation: str = "gelu"
) -> tuple[Array, Array, Array | None, Array, Array | None]:
    """d_y (..., d) -> d_x, d_w_down, d_b_down, d_w_up, d_b_up."""
    d_x, d_w_down, d_b_down, d_w_up, d_b_up = feed_forward_backward(
        d_y, x, w_down, b_down, w_up, b_up, activation
    )
    return d_x + d_y, d_w_down, d_b_down, d_w_up, d_b_up

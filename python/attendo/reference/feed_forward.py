"""feed_forward: the same two-layer network at every position

  forward    h = x W₁ᵀ + b₁      a = f(h)      y = a W₂ᵀ + b₂
  backward   da, dW₂, db₂ = linear_backward(dy)      dh = da f'(h)      dx, dW₁, db₁ = linear_backward(dh)

f: relu, gelu, its form with tanh, silu; or a gate (glu, reglu, geglu, geglu_tanh, swiglu): 2 dff rows in W₁
x, y: (..., L, d)  W₁: (dff, d)  b₁: (dff,)  W₂: (d, dff)  b₂: (d,)  h, a: (..., L, dff).  No bias: None
Parameters of the layer: linear1.weight, linear1.bias, linear2.weight, linear2.bias.
Vaswani et al. 2017, eq. 2; article 003 §5.2.
"""

from ._types import Array, Parameters
from .activations import gelu, gelu_backward, relu, relu_backward, silu, silu_backward
from .glu import glu, glu_backward
from .linear import linear, linear_backward

GATES = {"glu": "sigmoid", "reglu": "relu", "geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu"}


def _activate(h: Array, activation: str) -> Array:
    if activation in GATES:
        return glu(h, GATES[activation])
    if activation == "gelu_tanh":
        return gelu(h, "tanh")
    return {"relu": relu, "gelu": gelu, "silu": silu}[activation](h)


def _activate_backward(d_a: Array, h: Array, activation: str) -> Array:
    if activation in GATES:
        return glu_backward(d_a, h, GATES[activation])[0]
    if activation == "gelu_tanh":
        return gelu_backward(d_a, h, "tanh")[0]
    backward = {"relu": relu_backward, "gelu": gelu_backward, "silu": silu_backward}[activation]
    return backward(d_a, h)[0]


def feed_forward(
    x: Array, w_1: Array, b_1: Array | None, w_2: Array, b_2: Array | None, activation: str = "relu"
) -> Array:
    """x (..., L, d) -> (..., L, d)."""
    a = _activate(linear(x, w_1, b_1), activation)  # (..., L, dff)
    return linear(a, w_2, b_2)


def feed_forward_backward(
    d_y: Array,
    x: Array,
    w_1: Array,
    b_1: Array | None,
    w_2: Array,
    b_2: Array | None,
    activation: str = "relu",
) -> tuple[Array, Array, Array | None, Array, Array | None]:
    """d_y (..., L, d) -> d_x, d_w_1, d_b_1, d_w_2, d_b_2."""
    h = linear(x, w_1, b_1)  # (..., L, dff)
    d_a, d_w_2, d_b_2 = linear_backward(d_y, _activate(h, activation), w_2, b_2)
    d_h = _activate_backward(d_a, h, activation)
    d_x, d_w_1, d_b_1 = linear_backward(d_h, x, w_1, b_1)
    return d_x, d_w_1, d_b_1, d_w_2, d_b_2


def feed_forward_layer(x: Array, parameters: Parameters, activation: str = "relu") -> Array:
    """feed_forward with the parameters of a FeedForward layer."""
    return feed_forward(
        x,
        parameters["linear1.weight"],
        parameters.get("linear1.bias"),
        parameters["linear2.weight"],
        parameters.get("linear2.bias"),
        activation,
    )


def feed_forward_layer_backward(
    d_y: Array, x: Array, parameters: Parameters, activation: str = "relu"
) -> tuple[Array, Parameters]:
    """d_y like x -> d_x and the gradients of the parameters by name."""
    d_x, d_w_1, d_b_1, d_w_2, d_b_2 = feed_forward_backward(
        d_y,
        x,
        parameters["linear1.weight"],
        parameters.get("linear1.bias"),
        parameters["linear2.weight"],
        parameters.get("linear2.bias"),
        activation,
    )
    gradients = {
        "linear1.weight": d_w_1,
        "linear1.bias": d_b_1,
        "linear2.weight": d_w_2,
        "linear2.bias": d_b_2,
    }
    return d_x, {name: gradient for name, gradient in gradients.items() if gradient is not None}

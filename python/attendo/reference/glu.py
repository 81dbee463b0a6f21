"""glu: gated linear units

  forward    [a, b] = x      y = a f(b)
  backward   dx = [dy f(b), dy a f'(b)]

x, dx: (..., 2n)  a, b, y, dy: (..., n)
f: sigmoid (GLU), silu (SwiGLU), gelu and gelu_tanh (GEGLU), relu (ReGLU) or nothing (bilinear).
Dauphin et al. 2017, eq. 1; Shazeer 2020, eq. 5.
"""

import numpy as np

from ._types import Array
from .activations import (
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
)


def _gate(b: Array, activation: str | None) -> Array:
    if activation == "gelu_tanh":
        return gelu(b, "tanh")
    functions = {"sigmoid": sigmoid, "silu": silu, "gelu": gelu, "relu": relu}
    return b if activation is None else functions[activation](b)


def _gate_backward(d_gate: Array, b: Array, activation: str | None) -> Array:
    if activation is None:
        return d_gate
    if activation == "gelu_tanh":
        return gelu_backward(d_gate, b, "tanh")[0]
    functions = {
        "sigmoid": sigmoid_backward,
        "silu": silu_backward,
        "gelu": gelu_backward,
        "relu": relu_backward,
    }
    return functions[activation](d_gate, b)[0]


def glu(x: Array, activation: str | None = "sigmoid") -> Array:
    """x (..., 2n) -> (..., n)."""
    a, b = np.split(x, 2, axis=-1)
    y: Array = a * _gate(b, activation)
    return y


def glu_backward(d_y: Array, x: Array, activation: str | None = "sigmoid") -> tuple[Array]:
    """d_y (..., n) -> d_x (..., 2n)."""
    a, b = np.split(x, 2, axis=-1)
    d_a = d_y * _gate(b, activation)
    d_b = _gate_backward(d_y * a, b, activation)
    d_x: Array = np.concatenate([d_a, d_b], axis=-1)
    return (d_x,)

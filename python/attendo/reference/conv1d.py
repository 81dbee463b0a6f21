"""conv1d: cross-correlation of sequences

  forward    y[b,o,i]  = β_o + Σ_c Σ_u W[o,c,u] xp[b, c, i s + u d]
  backward   dxp[b, c, i s + u d] += Σ_o W[o,c,u] dy[b,o,i]         for every i, u
             dW[o,c,u] = Σ_b Σ_i dy[b,o,i] xp[b, c, i s + u d],   dβ_o = Σ_b Σ_i dy[b,o,i]

x: (B, C, L)  W = weight: (O, C/groups, k)  β = bias: (O,)  y: (B, O, L')
s is the stride, d the dilation, xp is x with `padding` zeros at both ends, dx is the middle of dxp;
L' = (L + 2 padding - d (k - 1) - 1) // s + 1. "same" and groups as in conv2d: a sequence is an image of
height 1.
Waibel et al. 1989 (time-delay neural networks); van den Oord et al. 2016, §2.1 (dilation).
"""

import numpy as np

from ._types import Array
from .conv2d import conv2d, conv2d_backward


def _window(
    stride: int, padding: int | str, dilation: int
) -> tuple[tuple[int, int], str | tuple[int, int], tuple[int, int]]:
    return (1, stride), padding if isinstance(padding, str) else (0, padding), (1, dilation)


def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """x (B, C, L), weight (O, C/groups, k), bias (O,) -> (B, O, L')."""
    window = _window(stride, padding, dilation)
    y: Array = conv2d(x[:, :, None, :], weight[:, :, None, :], bias, *window, groups)[:, :, 0, :]
    return y


def conv1d_backward(
    d_y: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array | None]:
    """d_y (B, O, L') -> d_x like x, d_weight like weight, d_bias (O,), None where there is no bias."""
    d_x, d_weight, d_bias = conv2d_backward(
        d_y[:, :, None, :],
        x[:, :, None, :],
        weight[:, :, None, :],
        bias,
        *_window(stride, padding, dilation),
        groups,
    )
    return np.squeeze(d_x, 2), np.squeeze(d_weight, 2), d_bias

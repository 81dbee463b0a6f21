"""linear_int8: a linear layer whose weight is held in eight bits

  quantize   a_jg = max_{p in g} |W_jp| / 127   n_jp = round(W_jp / a_jg)   g: 64 neighbours in a row
  forward    y_ij = Σ_g a_jg Σ_{p in g} x_ip n_jp + b_j   = x Ŵᵀ + b,   Ŵ_jp = a_jg n_jp
  backward   dx = dy Ŵ   db = Σ_rows dy

x: (..., in)  W, n: (out, in)  a: (out, ⌈in / 64⌉)  b: (out,)  y: (..., out).  Halves round to even.
A group with NaN or inf in it has the scale NaN, a group of zeros the scale 0.
Jacob et al. 2018, eq. 1 with zero point 0; Dettmers et al. 2022; article 003 §8.4 (quantisation).
"""

import numpy as np

from ._types import Array
from .int8_attention import quantize_rows
from .linear import linear, linear_backward

GROUP = 64


def quantize_int8(weight: Array) -> tuple[Array, Array]:
    """weight (out, in) -> whole numbers from -127 to 127 (out, in), scales (out, ⌈in / 64⌉)."""
    numbers = np.zeros_like(weight)
    scales = np.zeros((weight.shape[0], -(-weight.shape[1] // GROUP)), weight.dtype)
    for g in range(scales.shape[1]):
        part = slice(g * GROUP, (g + 1) * GROUP)
        numbers[:, part], scales[:, g : g + 1] = quantize_rows(weight[:, part])
    return numbers, scales


def dequantize_int8(weight: Array, scales: Array) -> Array:
    """-> Ŵ (out, in)."""
    each: Array = np.repeat(scales, GROUP, axis=1)[:, : weight.shape[1]]
    return weight * each


def linear_int8(x: Array, weight: Array, scales: Array, bias: Array | None = None) -> Array:
    """x (..., in), weight n (out, in), scales (out, ⌈in / 64⌉), bias (out,) or None -> (..., out)."""
    return linear(x, dequantize_int8(weight, scales), bias)


def linear_int8_backward(
    d_y: Array, x: Array, weight: Array, scales: Array, bias: Array | None = None
) -> tuple[Array, Array | None]:
    """d_y (..., out) -> d_x (..., in), d_bias (out,), None where there is no bias."""
    d_x, _, d_bias = linear_backward(d_y, x, dequantize_int8(weight, scales), bias)
    return d_x, d_bias

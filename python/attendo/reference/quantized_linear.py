"""quantized_linear: a linear layer whose products are of whole numbers

  weight     a_j = max_p |W_jp| / 127                     n_jp = round(W_jp / a_j)
  input      s_i = (max_p⁺ x_ip - min_p⁻ x_ip) / 255      z_i = round(-min_p⁻ x_ip / s_i)
             q_ip = clamp(round(x_ip / s_i) + z_i, 0, 255)
  forward    y_ij = s_i a_j Σ_p (q_ip - z_i) n_jp + b_j

x: (..., in)  W, n: (out, in)  a, b: (out,)  s, z: (...)  y: (..., out).  Halves round to even; max⁺ and min⁻
have 0 among them.  With a range (s, z) given, it is that of all rows.  A row of W or x with NaN or inf gives
NaN, one of (nearly) zeros has the scale 0.  There is no backward pass.
Jacob et al. 2018, eq. 7 with zero point 0 for W.
"""

import numpy as np

from ._types import Array
from .int8_attention import quantize_rows


def quantize_per_channel(weight: Array) -> tuple[Array, Array]:
    """weight (out, in) -> whole numbers from -127 to 127 (out, in), scales (out,)."""
    numbers, scales = quantize_rows(weight)
    return numbers, scales[:, 0]


def quantize_input(x: Array, input_range: tuple[float, int] | None = None) -> tuple[Array, Array, Array]:
    """x (..., in) -> q from 0 to 255 (..., in), scales (..., 1), zero points (..., 1)."""
    with np.errstate(all="ignore"):
        finite = np.all(np.isfinite(x), axis=-1, keepdims=True)
        low = np.min(x, axis=-1, keepdims=True, initial=0)
        high = np.max(x, axis=-1, keepdims=True, initial=0)
        scale = high / 255 - low / 255 if input_range is None else np.full_like(low, input_range[0])
        inverse = 1 / scale
        zero = np.rint(-low * inverse) if input_range is None else np.full_like(low, input_range[1])
        usable = finite & np.isfinite(inverse)
        q = np.where(usable, np.clip(np.rint(x * inverse) + zero, 0, 255), 0)
    return q, np.where(finite, np.where(usable, scale, 0), np.nan), np.where(usable, zero, 0)


def quantized_linear(
    x: Array,
    weight: Array,
    scales: Array,
    bias: Array | None = None,
    input_range: tuple[float, int] | None = None,
) -> Array:
    """x (..., in), weight n (out, in), scales a (out,), bias (out,) or None -> (..., out)."""
    q, scale, zero = quantize_input(x, input_range)
    whole = (q - zero).astype(np.int64).astype(np.int32) @ weight.astype(np.int32).T
    y: Array = whole * (scale * scales)
    return y if bias is None else y + bias

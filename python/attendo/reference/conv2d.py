"""conv2d: two-dimensional cross-correlation

  forward    y[b,o,i,j]  = β_o + Σ_c Σ_u Σ_v W[o,c,u,v] xp[b, c, i s + u, j s + v]
  backward   dxp[b, c, i s + u, j s + v] += Σ_o W[o,c,u,v] dy[b,o,i,j]         for every i, j, u, v
             dW[o,c,u,v] = Σ_b Σ_i Σ_j dy[b,o,i,j] xp[b, c, i s + u, j s + v]
             dβ_o = Σ_b Σ_i Σ_j dy[b,o,i,j]

x: (B, C, H, W)  W = weight: (O, C, kh, kw)  β = bias: (O,)  y: (B, O, H', W')
s is the stride, xp is x with `padding` zeros on every side, dx is the middle of dxp.
H' = (H + 2 padding - kh) // s + 1, W' alike.
The loops run over the kernel positions (u, v); each meets all output positions at once.
LeCun et al. 1998, §II.A; article 000 §5.2.
"""

import numpy as np

from ._types import Array

Pair = int | tuple[int, int]


def as_pair(value: Pair) -> tuple[int, int]:
    """One number for both directions, or (vertical, horizontal)."""
    return (value, value) if isinstance(value, int) else value


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many times a window fits along one direction."""
    return (size + 2 * padding - kernel) // stride + 1


def strided(start: int, count: int, stride: int) -> slice:
    """The count positions start, start + stride, start + 2 stride, ..."""
    return slice(start, start + stride * count, stride)


def _padded(x: Array, padding: tuple[int, int]) -> Array:
    vertical, horizontal = padding
    return np.pad(x, ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)))


def conv2d(x: Array, weight: Array, bias: Array | None = None, stride: Pair = 1, padding: Pair = 0) -> Array:
    """x (B, C, H, W), weight (O, C, kh, kw), bias (O,) -> (B, O, H', W')."""
    (sh, sw), (ph, pw) = as_pair(stride), as_pair(padding)
    out_channels, _, kh, kw = weight.shape
    out_h = output_size(x.shape[2], kh, sh, ph)
    out_w = output_size(x.shape[3], kw, sw, pw)

    xp = _padded(x, (ph, pw))
    y: Array = np.zeros((x.shape[0], out_channels, out_h, out_w), dtype=x.dtype)
    for u in range(kh):
        for v in range(kw):
            seen = xp[:, :, strided(u, out_h, sh), strided(v, out_w, sw)]  # (B, C, H', W')
            y += np.einsum("oc,bcij->boij", weight[:, :, u, v], seen)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv2d_backward(
    d_y: Array, x: Array, weight: Array, bias: Array | None = None, stride: Pair = 1, padding: Pair = 0
) -> tuple[Array, Array, Array | None]:
    """d_y (B, O, H', W') -> d_x like x, d_weight like weight, d_bias (O,), None where there is no bias."""
    (sh, sw), (ph, pw) = as_pair(stride), as_pair(padding)
    _, _, kh, kw = weight.shape
    _, _, out_h, out_w = d_y.shape

    xp = _padded(x, (ph, pw))
    d_xp: Array = np.zeros_like(xp)
    d_weight: Array = np.zeros_like(weight)
    for u in range(kh):
        for v in range(kw):
            rows, columns = strided(u, out_h, sh), strided(v, out_w, sw)
            seen = xp[:, :, rows, columns]  # (B, C, H', W')
            d_weight[:, :, u, v] = np.einsum("boij,bcij->oc", d_y, seen)
            d_xp[:, :, rows, columns] += np.einsum("oc,boij->bcij", weight[:, :, u, v], d_y)
    d_x: Array = d_xp[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]]
    d_bias: Array | None = None if bias is None else np.sum(d_y, axis=(0, 2, 3))
    return d_x, d_weight, d_bias

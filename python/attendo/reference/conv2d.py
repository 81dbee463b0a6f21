"""conv2d: two-dimensional cross-correlation

  forward    y[b,o,i,j]  = β_o + Σ_c Σ_u Σ_v W[o,c,u,v] xp[b, c, i s + u d, j s + v d]
  backward   dxp[b, c, i s + u d, j s + v d] += Σ_o W[o,c,u,v] dy[b,o,i,j]         for every i, j, u, v
             dW[o,c,u,v] = Σ_b Σ_i Σ_j dy[b,o,i,j] xp[b, c, i s + u d, j s + v d]
             dβ_o = Σ_b Σ_i Σ_j dy[b,o,i,j]

x: (B, C, H, W)  W = weight: (O, C/groups, kh, kw)  β = bias: (O,)  y: (B, O, H', W')
s is the stride, d the dilation, xp is x with `padding` zeros on every side, dx is the middle of dxp.
H' = (H + 2 padding - d (kh - 1) - 1) // s + 1, W' alike. padding "same": as many zeros as keep the size, an
odd one more at the end; "valid": none. With groups, the channels in and the channels out fall into as many
parts in their order, and part n of y sees part n of x alone.
The loops run over the kernel positions (u, v); each meets all output positions at once.
LeCun et al. 1998, §II.A; Yu and Koltun 2016, eq. 2 (dilation); Krizhevsky et al. 2012, §3.5 (groups);
article 000 §5.2.
"""

import numpy as np

from ._types import Array

Pair = int | tuple[int, int]


def as_pair(value: Pair) -> tuple[int, int]:
    """One number for both directions, or (vertical, horizontal)."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def reach(kernel: int, dilation: int) -> int:
    """From the first to the last entry a window sees."""
    return dilation * (kernel - 1) + 1


def output_size(size: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """How many times a window fits along one direction; size is that of x with its padding."""
    return (size - reach(kernel, dilation)) // stride + 1


def strided(start: int, count: int, stride: int) -> slice:
    """The count positions start, start + stride, start + 2 stride, ..."""
    return slice(start, start + stride * count, stride)


def sides(padding: Pair | str, kernel: tuple[int, int], dilation: tuple[int, int]) -> list[tuple[int, int]]:
    """Padding before and after in both directions."""
    if padding == "same":
        missing = [reach(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        return [(n // 2, n - n // 2) for n in missing]
    if isinstance(padding, str):  # "valid"
        return [(0, 0), (0, 0)]
    return [(p, p) for p in as_pair(padding)]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """x (B, C, H, W), weight (O, C/groups, kh, kw), bias (O,) -> (B, O, H', W')."""
    (sh, sw), (dh, dw) = as_pair(stride), as_pair(dilation)
    out_channels, _, kh, kw = weight.shape
    xp = np.pad(x, [(0, 0), (0, 0), *sides(padding, (kh, kw), (dh, dw))])
    out_h = output_size(xp.shape[2], kh, sh, dh)
    out_w = output_size(xp.shape[3], kw, sw, dw)

    y: Array = np.zeros((x.shape[0], out_channels, out_h, out_w), dtype=x.dtype)
    parts = zip(np.split(y, groups, 1), np.split(xp, groups, 1), np.split(weight, groups, 0), strict=True)
    for y_part, x_part, w_part in parts:
        for u in range(kh):
            for v in range(kw):
                seen = x_part[:, :, strided(u * dh, out_h, sh), strided(v * dw, out_w, sw)]  # (B, C, H', W')
                y_part += np.einsum("oc,bcij->boij", w_part[:, :, u, v], seen)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv2d_backward(
    d_y: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array | None]:
    """d_y (B, O, H', W') -> d_x like x, d_weight like weight, d_bias (O,), None where there is no bias."""
    (sh, sw), (dh, dw) = as_pair(stride), as_pair(dilation)
    _, _, kh, kw = weight.shape
    _, _, out_h, out_w = d_y.shape
    vertical, horizontal = sides(padding, (kh, kw), (dh, dw))

    xp = np.pad(x, [(0, 0), (0, 0), vertical, horizontal])
    d_xp: Array = np.zeros_like(xp)
    d_weight: Array = np.zeros_like(weight)
    for n in range(groups):
        dy_part, x_part, d_x_part = (np.split(a, groups, 1)[n] for a in (d_y, xp, d_xp))
        w_part, d_w_part = (np.split(a, groups, 0)[n] for a in (weight, d_weight))
        for u in range(kh):
            for v in range(kw):
                rows, columns = strided(u * dh, out_h, sh), strided(v * dw, out_w, sw)
                seen = x_part[:, :, rows, columns]  # (B, C, H', W')
                d_w_part[:, :, u, v] = np.einsum("boij,bcij->oc", dy_part, seen)
                d_x_part[:, :, rows, columns] += np.einsum("oc,boij->bcij", w_part[:, :, u, v], dy_part)
    top, left = vertical[0], horizontal[0]
    d_x: Array = d_xp[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    d_bias: Array | None = None if bias is None else np.sum(d_y, axis=(0, 2, 3))
    return d_x, d_weight, d_bias

"""max_pool: the largest entry of every window

  forward    y[b,c,i,j] = max_{u,v} xp[b, c, i s + u d, j s + v d]
  backward   dxp[b, c, i s + u* d, j s + v* d] += dy[b,c,i,j]      (u*, v*): where the maximum stands

x: (B, C, H, W)  y: (B, C, H', W');  a sequence (B, C, L) is an image of height 1.
s is the stride (default: kernel_size), d the dilation, xp is x with `padding` entries of -inf on every side,
dx is the middle of dxp.  H' = (H + 2 padding - d (kh - 1) - 1) // s + 1, W' alike; in ceil mode // rounds up,
but no window begins behind x.  padding is at most half of kernel_size.  Of equal maxima the first in memory
order gets the gradient; a NaN is a maximum.
LeCun et al. 1998, §II.B (subsampling, there by the mean); article 000 §5.2.
"""

import numpy as np

from ._types import Array
from .conv2d import Pair, as_pair, reach, strided


def outputs_along(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows there are along one direction."""
    room = size + 2 * padding - reach(kernel, dilation)
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def _windows(
    x: Array,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    ceil_mode: bool,
) -> tuple[Array, list[tuple[slice, slice]]]:
    """(kh kw, B, C, H', W'): entry p = u kw + v holds what window position (u, v) sees; and where that is."""
    out_h, out_w = (
        outputs_along(n, k, s, p, d, ceil_mode)
        for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    # Room behind the padding for the last windows of ceil mode.
    widths = [(p, p + s) for p, s in zip(padding, stride, strict=True)]
    xp = np.pad(x, [(0, 0), (0, 0), *widths], constant_values=-np.inf)
    places = [
        (strided(u * dilation[0], out_h, stride[0]), strided(v * dilation[1], out_w, stride[1]))
        for u in range(kernel[0])
        for v in range(kernel[1])
    ]
    windows: Array = np.stack([xp[:, :, rows, columns] for rows, columns in places])
    return windows, places


def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Array:
    """x (B, C, H, W) -> (B, C, H', W')."""
    kernel, steps = as_pair(kernel_size), as_pair(kernel_size if stride is None else stride)
    windows, _ = _windows(x, kernel, steps, as_pair(padding), as_pair(dilation), ceil_mode)
    y: Array = np.max(windows, axis=0)
    return y


def max_pool2d_backward(
    d_y: Array,
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Array]:
    """d_y (B, C, H', W') -> d_x like x."""
    kernel, steps = as_pair(kernel_size), as_pair(kernel_size if stride is None else stride)
    ph, pw = as_pair(padding)
    windows, places = _windows(x, kernel, steps, (ph, pw), as_pair(dilation), ceil_mode)
    winner = np.argmax(windows, axis=0)  # (B, C, H', W'), the first of equals

    batch, channels, height, width = x.shape
    d_xp: Array = np.zeros(
        (batch, channels, height + 2 * ph + steps[0], width + 2 * pw + steps[1]), dtype=x.dtype
    )
    for p, (rows, columns) in enumerate(places):
        d_xp[:, :, rows, columns] += np.where(winner == p, d_y, 0)
    d_x: Array = d_xp[:, :, ph : ph + height, pw : pw + width]
    return (d_x,)


def max_pool1d(
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> Array:
    """x (B, C, L) -> (B, C, L')."""
    step = kernel_size if stride is None else stride
    y: Array = max_pool2d(
        x[:, :, None, :], (1, kernel_size), (1, step), (0, padding), (1, dilation), ceil_mode
    )
    return y[:, :, 0, :]


def max_pool1d_backward(
    d_y: Array,
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> tuple[Array]:
    """d_y (B, C, L') -> d_x like x."""
    step = kernel_size if stride is None else stride
    image, d_image = x[:, :, None, :], d_y[:, :, None, :]
    (d_x,) = max_pool2d_backward(
        d_image, image, (1, kernel_size), (1, step), (0, padding), (1, dilation), ceil_mode
    )
    return (d_x[:, :, 0, :],)

"""max_pool2d: the largest entry of every window

  forward    y[b,c,i,j] = max_{u,v} xp[b, c, i s + u, j s + v]
  backward   dxp[b, c, i s + u*, j s + v*] += dy[b,c,i,j]      (u*, v*): where the maximum stands

x: (B, C, H, W)  y: (B, C, H', W')
s is the stride (default: kernel_size), xp is x with `padding` entries of -inf on every side, dx is the middle
of dxp.  H' = (H + 2 padding - kh) // s + 1, W' alike.  padding is at most half a window, so that every window
holds a true entry.  Of equal maxima the first in memory order gets the gradient; a NaN is a maximum.
LeCun et al. 1998, §II.B (subsampling, there by the mean); article 000 §5.2.
"""

import numpy as np

from ._types import Array
from .conv2d import Pair, as_pair, output_size, strided


def _windows(x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Array:
    """(kh kw, B, C, H', W'): entry p = u kw + v holds what window position (u, v) sees."""
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    out_h = output_size(x.shape[2], kh, sh, ph)
    out_w = output_size(x.shape[3], kw, sw, pw)
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    seen = [xp[:, :, strided(u, out_h, sh), strided(v, out_w, sw)] for u in range(kh) for v in range(kw)]
    windows: Array = np.stack(seen)
    return windows


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Array:
    """x (B, C, H, W) -> (B, C, H', W')."""
    kernel, steps = as_pair(kernel_size), as_pair(kernel_size if stride is None else stride)
    y: Array = np.max(_windows(x, kernel, steps, as_pair(padding)), axis=0)
    return y


def max_pool2d_backward(
    d_y: Array, x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array]:
    """d_y (B, C, H', W') -> d_x like x."""
    (kh, kw), (sh, sw) = as_pair(kernel_size), as_pair(kernel_size if stride is None else stride)
    ph, pw = as_pair(padding)
    _, _, out_h, out_w = d_y.shape
    windows = _windows(x, (kh, kw), (sh, sw), (ph, pw))
    winner = np.argmax(windows, axis=0)  # (B, C, H', W'), the first of equals

    batch, channels, height, width = x.shape
    d_xp: Array = np.zeros((batch, channels, height + 2 * ph, width + 2 * pw), dtype=x.dtype)
    for u in range(kh):
        for v in range(kw):
            won = np.where(winner == u * kw + v, d_y, 0)
            d_xp[:, :, strided(u, out_h, sh), strided(v, out_w, sw)] += won
    d_x: Array = d_xp[:, :, ph : ph + height, pw : pw + width]
    return (d_x,)

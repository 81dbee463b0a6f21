"""avg_pool: the average of every window

  forward    y[b,c,i,j] = 1/n_ij Σ_u Σ_v xp[b, c, i s + u, j s + v]
  backward   dxp[b, c, i s + u, j s + v] += dy[b,c,i,j] / n_ij                    for every i, j, u, v

x: (B, C, H, W)  y: (B, C, H', W');  a sequence (B, C, L) is an image of height 1.
s is the stride (default: kernel_size), xp is x with `padding` zeros on every side, dx is the middle of dxp;
H' and W' as in max_pool.  n_ij: the entries of x and (count_include_pad) its padding in window (i, j); what a
window of ceil mode has behind the padding is counted by neither.
LeCun et al. 1998, §II.B.
"""

import numpy as np

from ._types import Array
from .conv2d import Pair, as_pair
from .max_pool import outputs_along

Span = tuple[int, int, int]


def _spans(
    x: Array, kernel_size: Pair, stride: Pair | None, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> list[list[Span]]:
    """In both directions, for each output: the first entry it sees, the one after the last, the count."""
    kernel, steps = as_pair(kernel_size), as_pair(kernel_size if stride is None else stride)
    both = []
    for size, k, s, p in zip(x.shape[2:], kernel, steps, as_pair(padding), strict=True):
        spans = []
        for i in range(outputs_along(size, k, s, p, 1, ceil_mode)):
            begin = i * s - p
            end = min(begin + k, size + p)
            first, last = max(begin, 0), min(end, size)
            spans.append((first, last, end - begin if count_include_pad else last - first))
        both.append(spans)
    return both


def averages(x: Array, rows: list[Span], columns: list[Span]) -> Array:
    """(B, C, H', W'): the sums of what the outputs see, divided by the counts."""
    y: Array = np.zeros((*x.shape[:2], len(rows), len(columns)), dtype=x.dtype)
    for i, (top, bottom, n) in enumerate(rows):
        for j, (left, right, m) in enumerate(columns):
            y[:, :, i, j] = np.sum(x[:, :, top:bottom, left:right], axis=(2, 3)) / (n * m)
    return y


def averages_backward(d_y: Array, x: Array, rows: list[Span], columns: list[Span]) -> Array:
    """d_x like x."""
    d_x: Array = np.zeros_like(x)
    for i, (top, bottom, n) in enumerate(rows):
        for j, (left, right, m) in enumerate(columns):
            d_x[:, :, top:bottom, left:right] += d_y[:, :, i : i + 1, j : j + 1] / (n * m)
    return d_x


def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """x (B, C, H, W) -> (B, C, H', W')."""
    return averages(x, *_spans(x, kernel_size, stride, padding, ceil_mode, count_include_pad))


def avg_pool2d_backward(
    d_y: Array,
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array]:
    """d_y (B, C, H', W') -> d_x like x."""
    return (
        averages_backward(d_y, x, *_spans(x, kernel_size, stride, padding, ceil_mode, count_include_pad)),
    )


def avg_pool1d(
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """x (B, C, L) -> (B, C, L')."""
    step = kernel_size if stride is None else stride
    image = x[:, :, None, :]
    y: Array = avg_pool2d(image, (1, kernel_size), (1, step), (0, padding), ceil_mode, count_include_pad)
    return y[:, :, 0, :]


def avg_pool1d_backward(
    d_y: Array,
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array]:
    """d_y (B, C, L') -> d_x like x."""
    step = kernel_size if stride is None else stride
    image, d_image = x[:, :, None, :], d_y[:, :, None, :]
    window = ((1, kernel_size), (1, step), (0, padding))
    (d_x,) = avg_pool2d_backward(d_image, image, *window, ceil_mode, count_include_pad)
    return (d_x[:, :, 0, :],)

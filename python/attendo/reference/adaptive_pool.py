"""adaptive_pool: pooling to a given size

  forward    y[b,c,i,j] = mean or max of x[b, c, h, w] over the h of part i and the w of part j
             part i of n holds   ⌊i H / n⌋ <= h < ⌈(i + 1) H / n⌉
  backward   mean: dx[b, c, h, w] += dy[b,c,i,j] / (entries of the part)
             max:  dx at the (first) maximum of the part += dy[b,c,i,j]

x: (B, C, H, W)  y: (B, C, output_size);  a sequence (B, C, L) is an image of height 1.  Parts overlap where n
does not divide H. None as a size: that of x.
He et al. 2014, §2.2 (spatial pyramid pooling); Lin et al. 2014, §3.2 (one part: global average pooling).
"""

import numpy as np

from ._types import Array
from .avg_pool import Span, averages, averages_backward

Size = int | None | tuple[int | None, int | None]


def _parts(size: int, count: int | None) -> list[Span]:
    n = size if count is None else count
    ends = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
    return [(begin, end, end - begin) for begin, end in ends]


def _both(x: Array, output_size: Size) -> tuple[list[Span], list[Span]]:
    height, width = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    return _parts(x.shape[2], height), _parts(x.shape[3], width)


def adaptive_avg_pool2d(x: Array, output_size: Size) -> Array:
    """x (B, C, H, W) -> (B, C, H', W')."""
    return averages(x, *_both(x, output_size))


def adaptive_avg_pool2d_backward(d_y: Array, x: Array, output_size: Size) -> tuple[Array]:
    """d_y (B, C, H', W') -> d_x like x."""
    return (averages_backward(d_y, x, *_both(x, output_size)),)


def adaptive_max_pool2d(x: Array, output_size: Size) -> Array:
    """x (B, C, H, W) -> (B, C, H', W')."""
    rows, columns = _both(x, output_size)
    y: Array = np.zeros((*x.shape[:2], len(rows), len(columns)), dtype=x.dtype)
    for i, (top, bottom, _) in enumerate(rows):
        for j, (left, right, _) in enumerate(columns):
            y[:, :, i, j] = np.max(x[:, :, top:bottom, left:right], axis=(2, 3))
    return y


def adaptive_max_pool2d_backward(d_y: Array, x: Array, output_size: Size) -> tuple[Array]:
    """d_y (B, C, H', W') -> d_x like x."""
    rows, columns = _both(x, output_size)
    d_x: Array = np.zeros_like(x)
    for b, c in np.ndindex(*x.shape[:2]):
        for i, (top, bottom, _) in enumerate(rows):
            for j, (left, right, _) in enumerate(columns):
                part = x[b, c, top:bottom, left:right]
                h, w = np.unravel_index(np.argmax(part), part.shape)  # the first of equals
                d_x[b, c, top + h, left + w] += d_y[b, c, i, j]
    return (d_x,)


def adaptive_avg_pool1d(x: Array, output_size: int | None) -> Array:
    """x (B, C, L) -> (B, C, L')."""
    y: Array = adaptive_avg_pool2d(x[:, :, None, :], (1, output_size))[:, :, 0, :]
    return y


def adaptive_avg_pool1d_backward(d_y: Array, x: Array, output_size: int | None) -> tuple[Array]:
    """d_y (B, C, L') -> d_x like x."""
    (d_x,) = adaptive_avg_pool2d_backward(d_y[:, :, None, :], x[:, :, None, :], (1, output_size))
    return (d_x[:, :, 0, :],)


def adaptive_max_pool1d(x: Array, output_size: int | None) -> Array:
    """x (B, C, L) -> (B, C, L')."""
    y: Array = adaptive_max_pool2d(x[:, :, None, :], (1, output_size))[:, :, 0, :]
    return y


def adaptive_max_pool1d_backward(d_y: Array, x: Array, output_size: int | None) -> tuple[Array]:
    """d_y (B, C, L') -> d_x like x."""
    (d_x,) = adaptive_max_pool2d_backward(d_y[:, :, None, :], x[:, :, None, :], (1, output_size))
    return (d_x[:, :, 0, :],)

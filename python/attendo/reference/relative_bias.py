"""relative_bias, relative_shift: values by the distance of a key from its query

  e(i, j) = clip(zero + j - (i + q_offset), 0, R - 1)      the entry that query i and key j read
  relative_bias    forward  b_ij = t_e(i,j)      backward  dt_e  = Σ_{i,j: e(i,j) = e} db_ij   along diagonals
  relative_shift   forward  y_ij = x_i,e(i,j)    backward  dx_ie = Σ_{j: e(i,j) = e} dy_ij

t: (..., R)  x: (..., L, R)  b, y: (..., L, S).  Entry `zero` is that of the key at the query's own place.
Shaw et al. 2018, eq. 4 (clipping); Huang et al. 2019, §3.4.1 (the skewing); Dai et al. 2019, appendix B.
"""

import numpy as np

from ._types import Array, Ids


def relative_index(length: int, keys: int, count: int, q_offset: int, zero: int) -> Ids:
    """e(i, j), (L, S)."""
    query, key = q_offset + np.arange(length), np.arange(keys)
    index: Ids = np.clip(zero + key[None, :] - query[:, None], 0, count - 1)
    return index


def _middle(count: int, zero: int | None) -> int:
    return count // 2 if zero is None else zero


def relative_bias(
    table: Array, length: int, keys: int | None = None, q_offset: int = 0, zero: int | None = None
) -> Array:
    """table (..., R) -> (..., L, S)."""
    keys = length if keys is None else keys
    count = table.shape[-1]
    bias: Array = table[..., relative_index(length, keys, count, q_offset, _middle(count, zero))]
    return bias


def relative_bias_backward(
    d_bias: Array,
    table: Array,
    length: int,
    keys: int | None = None,
    q_offset: int = 0,
    zero: int | None = None,
) -> tuple[Array]:
    """d_bias (..., L, S) -> d_table like table."""
    keys = length if keys is None else keys
    count = table.shape[-1]
    index = relative_index(length, keys, count, q_offset, _middle(count, zero))
    d_table: Array = np.zeros_like(table)
    for e in range(count):
        d_table[..., e] = np.sum(d_bias[..., index == e], axis=-1)
    return (d_table,)


def relative_shift(x: Array, keys: int | None = None, q_offset: int = 0, zero: int | None = None) -> Array:
    """x (..., L, R) -> (..., L, S)."""
    length, count = x.shape[-2:]
    keys = length if keys is None else keys
    index = relative_index(length, keys, count, q_offset, _middle(count, zero))
    y: Array = np.take_along_axis(x, np.broadcast_to(index, (*x.shape[:-1], keys)), axis=-1)
    return y


def relative_shift_backward(
    d_y: Array, x: Array, keys: int | None = None, q_offset: int = 0, zero: int | None = None
) -> tuple[Array]:
    """d_y (..., L, S) -> d_x like x."""
    length, count = x.shape[-2:]
    keys = length if keys is None else keys
    index = relative_index(length, keys, count, q_offset, _middle(count, zero))
    d_x: Array = np.zeros_like(x)
    for e in range(count):
        d_x[..., e] = np.sum(np.where(index == e, d_y, 0), axis=-1)
    return (d_x,)

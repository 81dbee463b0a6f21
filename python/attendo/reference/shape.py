"""shape: operations that move entries and compute nothing

                forward                                             backward
  reshape       y = the entries of x, in memory order, reshaped     dx = dy in the shape of x
  transpose     y = x with its axes permuted (axes None: reversed)  dx = dy permuted back
  slice         y = x[key]                                          dx[key] = dy, 0 elsewhere
  concatenate   y = the arrays one after another along axis         each its part of dy

key: a tuple of ints and slices with step >= 1.
Articles 003 §4.3 (view and permute: heads are split by reshape and transpose),
002 §3.1 (concatenate puts the attended vector beside the hidden state).
"""

import builtins
from collections.abc import Sequence

import numpy as np

from ._types import Array

Key = int | builtins.slice | tuple[int | builtins.slice, ...]


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """x in a shape of as many entries; one length may be -1."""
    y: Array = np.reshape(x, shape)
    return y


def reshape_backward(d_y: Array, x: Array, shape: tuple[int, ...]) -> tuple[Array]:
    """d_y of the new shape -> d_x like x."""
    return (np.reshape(d_y, x.shape),)


def transpose(x: Array, axes: tuple[int, ...] | None = None) -> Array:
    """Axis i of the result is axis axes[i] of x."""
    y: Array = np.transpose(x, axes)
    return y


def transpose_backward(d_y: Array, x: Array, axes: tuple[int, ...] | None = None) -> tuple[Array]:
    """d_y permuted by the inverse permutation -> d_x like x."""
    if axes is None:
        return (np.transpose(d_y),)
    inverse = np.argsort([a % x.ndim for a in axes])
    return (np.transpose(d_y, inverse),)


def slice(x: Array, key: Key) -> Array:
    """x[key]."""
    y: Array = np.asarray(x[key])
    return y


def slice_backward(d_y: Array, x: Array, key: Key) -> tuple[Array]:
    """d_y like x[key] -> d_x like x."""
    d_x: Array = np.zeros_like(x)
    d_x[key] = d_y
    return (d_x,)


def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """The arrays, alike but for the length of axis, one after another along it."""
    y: Array = np.concatenate(arrays, axis=axis)
    return y


def concatenate_backward(d_y: Array, arrays: Sequence[Array], axis: int = 0) -> tuple[Array, ...]:
    """d_y like the whole -> one gradient an array."""
    ends = np.cumsum([array.shape[axis] for array in arrays])
    return tuple(np.split(d_y, ends[:-1], axis=axis))

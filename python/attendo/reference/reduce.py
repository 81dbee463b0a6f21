"""reduce: sum, mean and maximum over some axes

  sum    forward  y = Σ x          backward  dx = dy, for every entry summed
  mean   forward  y = (1/n) Σ x    backward  dx = dy / n
  max    forward  y = max x        backward  dx = dy at the first maximum in memory order, 0 elsewhere

x: any shape; y: the shape of x without the reduced axes (with keepdims: length 1 there)
n entries of x go into one of y.  axis: None (all), an int or a tuple.
Article 000 §5.2: the mean over positions that ends the classifier (corrected).
"""

import math

import numpy as np

from ._types import Array

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The reduced axes as non-negative numbers in memory order."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, int):
        axis = (axis,)
    return tuple(sorted(a % ndim for a in axis))


def _spread(d_y: Array, x: Array, axis: Axis) -> Array:
    """d_y copied to every entry of x that went into it."""
    kept = tuple(1 if i in _axes(axis, x.ndim) else n for i, n in enumerate(x.shape))
    spread: Array = np.broadcast_to(np.reshape(d_y, kept), x.shape).copy()
    return spread


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over axis."""
    y: Array = np.sum(x, axis=axis, keepdims=keepdims)
    return y


def sum_backward(d_y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    """d_y like the sum -> d_x like x."""
    return (_spread(d_y, x, axis),)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over axis."""
    y: Array = np.mean(x, axis=axis, keepdims=keepdims)
    return y


def mean_backward(d_y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    """d_y like the mean -> d_x like x."""
    n = math.prod(x.shape[a] for a in _axes(axis, x.ndim))
    return (_spread(d_y, x, axis) / n,)


def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The maximum over axis; a NaN wins."""
    y: Array = np.max(x, axis=axis, keepdims=keepdims)
    return y


def max_backward(d_y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    """d_y like the maximum -> d_x like x."""
    reduced = _axes(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in reduced)
    order = kept + reduced  # the reduced axes last, in memory order

    moved = np.transpose(x, order)
    outputs, n = math.prod(x.shape[i] for i in kept), math.prod(x.shape[i] for i in reduced)
    rows = moved.reshape(outputs, n)  # one row an entry of y
    d_rows: Array = np.zeros_like(rows)
    first = np.argmax(rows, axis=1)  # the first of equal maxima
    d_rows[np.arange(len(rows)), first] = np.reshape(d_y, -1)
    d_x: Array = np.transpose(d_rows.reshape(moved.shape), np.argsort(order))
    return (d_x,)

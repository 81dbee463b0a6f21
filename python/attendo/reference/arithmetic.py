"""arithmetic with broadcasting

  forward    y = a + b         a - b          a b            a / b
  backward   da = dy           dy             dy b           dy / b
             db = dy           -dy            dy a           -dy a / b²

a, b: shapes that broadcast (NumPy's rule) to the shape of y.  An entry that broadcasting uses several times
gets the sum of its gradients: unbroadcast.
He et al. 2016, eq. 1 (the residual connection x + f(x) is add); article 003 §5.2.
"""

import numpy as np

from ._types import Array


def unbroadcast(d_y: Array, shape: tuple[int, ...]) -> Array:
    """Sum d_y over the axes that broadcasting an array of this shape added or stretched."""
    added = d_y.ndim - len(shape)
    d_x: Array = np.sum(d_y, axis=tuple(range(added)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and d_x.shape[i] != 1)
    d_x = np.sum(d_x, axis=stretched, keepdims=True)
    return d_x


def add(a: Array, b: Array) -> Array:
    """a + b."""
    return a + b


def add_backward(d_y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """d_y like a + b -> d_a like a, d_b like b."""
    return unbroadcast(d_y, a.shape), unbroadcast(d_y, b.shape)


def subtract(a: Array, b: Array) -> Array:
    """a - b."""
    return a - b


def subtract_backward(d_y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """d_y like a - b -> d_a like a, d_b like b."""
    return unbroadcast(d_y, a.shape), unbroadcast(-d_y, b.shape)


def multiply(a: Array, b: Array) -> Array:
    """a b, entry by entry."""
    return a * b


def multiply_backward(d_y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """d_y like a b -> d_a like a, d_b like b."""
    return unbroadcast(d_y * b, a.shape), unbroadcast(d_y * a, b.shape)


def divide(a: Array, b: Array) -> Array:
    """a / b."""
    return a / b


def divide_backward(d_y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """d_y like a / b -> d_a like a, d_b like b."""
    return unbroadcast(d_y / b, a.shape), unbroadcast(-d_y * a / b**2, b.shape)

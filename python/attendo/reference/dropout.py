"""dropout, inverted: what is kept grows so that the mean stays

  forward    y  = x / (1 - p)   where kept,  0 elsewhere
  backward   dx = dy / (1 - p)  where kept,  0 elsewhere

x, y, keep_mask: one shape; keep_mask True (with probability 1 - p) = kept
The mask is given: there is no randomness here.  Dropped entries are selected away: a NaN that is dropped is
gone.
Srivastava et al. 2014, §4; article 002 §9 Q2.
"""

import numpy as np

from ._types import Array, Mask


def _kept(x: Array, keep_mask: Mask, p: float) -> Array:
    scale = 0.0 if p == 1 else 1 / (1 - p)  # p = 1 keeps nothing
    y: Array = np.where(keep_mask, x * scale, 0)
    return y


def dropout(x: Array, keep_mask: Mask, p: float) -> Array:
    """x and keep_mask of one shape -> same shape."""
    return _kept(x, keep_mask, p)


def dropout_backward(d_y: Array, x: Array, keep_mask: Mask, p: float) -> tuple[Array]:
    """d_y like x -> d_x like x: the same mask and scale applied to the gradient."""
    return (_kept(d_y, keep_mask, p),)

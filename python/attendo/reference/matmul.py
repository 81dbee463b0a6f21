"""matmul: batched matrix product

  forward    y = a b           y_ij  = Σ_t a_it b_tj
  backward   da = dy bᵀ        da_it = Σ_j dy_ij b_tj
             db = aᵀ dy        db_tj = Σ_i a_it dy_ij

a: (..., m, k)  b: (..., k, n)  y: (..., m, n)
Leading axes broadcast; the gradient of a broadcast axis is the sum over it.
Articles 001 §4.1, 003 §4.3: the products Q Kᵀ and A V.
"""

import numpy as np

from ._types import Array
from .arithmetic import unbroadcast


def matmul(a: Array, b: Array) -> Array:
    """a (..., m, k), b (..., k, n) -> (..., m, n)."""
    y: Array = a @ b
    return y


def matmul_backward(d_y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """d_y (..., m, n) -> d_a like a, d_b like b."""
    d_a: Array = d_y @ np.swapaxes(b, -1, -2)  # (..., m, k)
    d_b: Array = np.swapaxes(a, -1, -2) @ d_y  # (..., k, n)
    return unbroadcast(d_a, a.shape), unbroadcast(d_b, b.shape)

"""embedding: look up one row of a table for each id

  forward    y_n  = W[ids_n]
  backward   dW_v = Σ_{n: ids_n = v} dy_n          dW of the row padding_idx is zero

ids: (...) integers in 0 … V-1  W: (V, d)  y: (..., d).
Mikolov et al. 2013 (word vectors); Vaswani et al. 2017, §3.4; article 004 §3.2.
"""

import numpy as np

from ._types import Array, Ids


def embedding(ids: Ids, weight: Array, padding_idx: int | None = None) -> Array:
    """ids (...), weight (V, d) -> (..., d).  padding_idx changes only the gradient."""
    y: Array = weight[ids]
    return y


def embedding_backward(d_y: Array, ids: Ids, weight: Array, padding_idx: int | None = None) -> tuple[Array]:
    """d_y (..., d) -> d_weight (V, d)."""
    d_weight: Array = np.zeros_like(weight)
    np.add.at(d_weight, ids, d_y)  # unlike d_weight[ids] += d_y, counts an id that occurs twice twice
    if padding_idx is not None:
        d_weight[padding_idx] = 0
    return (d_weight,)

"""positional_encoding: tell each position its place

  sinusoidal  PE[t, 2i]   = sin(t / 10000^(2i/d))
              PE[t, 2i+1] = cos(t / 10000^(2i/d))             t = 0, 1, 2, ...  (no parameters)
              in halves: the columns 2i in front, the columns 2i+1 behind them, as Marian has them
  learned     PE = W, a table of parameters (max_len, d)
  forward     y_t = x_t + PE[offset + t]
  backward    dx  = dy        dPE[offset + t] = Σ_batch dy_t, the other rows 0

x, y: (..., L, d)  table: (max_len, d), max_len >= offset + L
offset is the place of the first position, as when decoding goes on from a cache.
An odd d drops the last cosine.
Vaswani et al. 2017, §3.5; Gehring et al. 2017, §3.1 (learned); article 003 §1.2, §3.2.
"""

import numpy as np

from ._types import Array


def sinusoidal_positional_encoding(length: int, d_model: int, halves: bool = False) -> Array:
    """-> the table PE (length, d_model), float64."""
    table: Array = np.zeros((length, d_model))
    position = np.arange(length)  # t
    for column in range(d_model):
        i = column // 2
        angle = position / 10000 ** (2 * i / d_model)
        table[:, column] = np.sin(angle) if column % 2 == 0 else np.cos(angle)
    if halves:
        table = np.concatenate([table[:, 0::2], table[:, 1::2]], axis=1)
    return table


def positional_encoding(x: Array, table: Array, offset: int = 0) -> Array:
    """x (..., L, d), table (max_len, d) -> (..., L, d)."""
    length = x.shape[-2]
    y: Array = x + table[offset : offset + length].astype(x.dtype)
    return y


def positional_encoding_backward(d_y: Array, x: Array, table: Array, offset: int = 0) -> tuple[Array, Array]:
    """d_y (..., L, d) -> d_x like x, d_table like table (of use when the table is learned)."""
    length = x.shape[-2]
    batch_axes = tuple(range(x.ndim - 2))
    d_table: Array = np.zeros_like(table)
    d_table[offset : offset + length] = np.sum(d_y, axis=batch_axes)
    return d_y, d_table

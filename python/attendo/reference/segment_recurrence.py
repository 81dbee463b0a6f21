"""segment_recurrence: a segment that remembers the ones before it

  forward    h̃  = [SG(m), x]                            what keys and values are made of, queries of x alone
             m' = SG(the last memory_length rows of h̃)  the next segment's memory      SG: without gradient
  backward   dx = the last L rows of dh̃,  dm = 0

x: (..., L, d), hidden states of a segment  m: (..., M, d), of those before it, or None  h̃: (..., M + L, d).
Dai et al. 2019, §3.2; article 002 §7.3.
"""

import numpy as np

from ._types import Array


def segment_recurrence(
    x: Array, memory: Array | None = None, memory_length: int | None = None
) -> tuple[Array, Array]:
    """-> h̃ (..., M + L, d) and the memory of the next segment (..., up to memory_length, d)."""
    memory_length = x.shape[-2] if memory_length is None else memory_length
    extended: Array = x if memory is None else np.concatenate([memory, x], axis=-2)
    start = max(0, extended.shape[-2] - memory_length)
    return extended, extended[..., start:, :].copy()


def segment_recurrence_backward(
    d_extended: Array, x: Array, memory: Array | None = None, memory_length: int | None = None
) -> tuple[Array, Array | None]:
    """-> d_x, d_memory: zeros (None without a memory)."""
    d_x: Array = d_extended[..., d_extended.shape[-2] - x.shape[-2] :, :]
    return d_x.copy(), None if memory is None else np.zeros_like(memory)

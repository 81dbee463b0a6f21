"""alibi: attention with linear biases

  forward    b_hij = -m_h |i + q_offset - j|          added to the scores
  backward   dm_h  = -Σ_ij db_hij |i + q_offset - j|
  slopes     m_h   = 2^(-8 (h + 1) / H),  h = 0 … H - 1,  for H a power of two
             else those of the power of two P below H, then the 1st, 3rd, 5th … of those of 2 P

m: (H,)  b: (H, L, S).  A causal mask leaves j <= i, where |i - j| = i - j, the form of the paper.
Press et al. 2022, §3 and footnote 8.
"""

import numpy as np

from ._types import Array


def _distance(length: int, keys: int | None, q_offset: int) -> Array:
    keys = length if keys is None else keys
    query, key = q_offset + np.arange(length), np.arange(keys)
    distance: Array = np.abs(query[:, None] - key[None, :]).astype(np.float64)
    return distance


def alibi(slopes: Array, length: int, keys: int | None = None, q_offset: int = 0) -> Array:
    """slopes (H,) -> (H, L, S)."""
    bias: Array = -slopes[:, None, None] * _distance(length, keys, q_offset).astype(slopes.dtype)
    return bias


def alibi_backward(
    d_bias: Array, slopes: Array, length: int, keys: int | None = None, q_offset: int = 0
) -> tuple[Array]:
    """d_bias (H, L, S) -> d_slopes (H,)."""
    d_slopes: Array = -np.sum(d_bias * _distance(length, keys, q_offset), axis=(-2, -1))
    return (d_slopes,)


def alibi_slopes(num_heads: int) -> Array:
    """-> (H,), float64."""
    power = 1
    while 2 * power <= num_heads:
        power *= 2
    first: Array = 2.0 ** (-8 * np.arange(1, power + 1) / power)
    between: Array = 2.0 ** (-8 * np.arange(1, 2 * power + 1) / (2 * power))[::2]
    return np.concatenate([first, between])[:num_heads]

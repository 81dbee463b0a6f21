"""t5_bias: a trained number for each head and bucket of distances

  forward    b_hij = t_{bucket(j - (i + q_offset)), h}         added to the scores, which T5 does not scale
  backward   dt_kh = Σ_{i,j: bucket = k} db_hij

             n = max(i - j, 0): how far back, all later keys are n = 0         K = num_buckets
             bidirectional: n = |i - j|, K = num_buckets / 2, and later keys have the upper K buckets
             exact  = K / 2: so many distances have a bucket of their own
             bucket = n                                                                        n < exact
                    = min(K - 1, exact + ⌊(K - exact) log(n / exact) / log(max_distance / exact)⌋)    else

t: (num_buckets, H)  b: (H, L, S).  The logarithms are taken in float32, as T5 was trained.
Raffel et al. 2020, §2.1.
"""

import math

import numpy as np

from ._types import Array, Ids


def t5_buckets(
    relative_position: Ids, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Ids:
    """j - i, any shape -> the bucket of each."""
    count = num_buckets // 2 if bidirectional else num_buckets
    if bidirectional:
        base = np.where(relative_position > 0, count, 0)
        n = np.abs(relative_position)
    else:
        base = np.zeros_like(relative_position)
        n = np.maximum(-relative_position, 0)
    exact = count // 2
    ratio = np.maximum(n, 1).astype(np.float32) / np.float32(exact)
    steps = np.log(ratio) / np.float32(math.log(max_distance / exact)) * np.float32(count - exact)
    far = np.minimum(exact + steps.astype(np.int64), count - 1)
    bucket: Ids = base + np.where(n < exact, n, far)
    return bucket


def _buckets(
    length: int, keys: int | None, q_offset: int, bidirectional: bool, num_buckets: int, max_distance: int
) -> Ids:
    keys = length if keys is None else keys
    query, key = q_offset + np.arange(length), np.arange(keys)
    return t5_buckets(key[None, :] - query[:, None], bidirectional, num_buckets, max_distance)


def t5_bias(
    table: Array,
    length: int,
    keys: int | None = None,
    q_offset: int = 0,
    bidirectional: bool = True,
    max_distance: int = 128,
) -> Array:
    """table (num_buckets, H) -> (H, L, S)."""
    buckets = _buckets(length, keys, q_offset, bidirectional, len(table), max_distance)
    bias: Array = np.moveaxis(table[buckets], -1, 0)
    return bias


def t5_bias_backward(
    d_bias: Array,
    table: Array,
    length: int,
    keys: int | None = None,
    q_offset: int = 0,
    bidirectional: bool = True,
    max_distance: int = 128,
) -> tuple[Array]:
    """d_bias (H, L, S) -> d_table (num_buckets, H)."""
    buckets = _buckets(length, keys, q_offset, bidirectional, len(table), max_distance)
    d_table: Array = np.zeros_like(table)
    for k in range(len(table)):
        d_table[k] = np.sum(d_bias[:, buckets == k], axis=-1)
    return (d_table,)

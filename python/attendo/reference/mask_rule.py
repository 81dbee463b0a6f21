"""mask_rule: which key j the query i, at position p = i + q_offset, may attend to

  causal         j <= p                               strided(s)     (p - j) mod s = 0
  window(l, r)   p - l <= j <= p + r                  blocks         layout[p // size, j // size]
  lengths        j < lengths_b                        documents      ids_p = ids_j
  prefix(n)      j < n_b                              global_tokens  p or j is one of them

True = may attend.  causal, window, strided and global_tokens: (L, S).  lengths, prefix: (B, 1, 1, S).
blocks: (L, S), or (H, L, S) with a layout for each head.  documents: (L, S), or (B, 1, L, S).
They combine with & | ~.  Masks change which scores exist and have no gradient.
Beltagy et al. 2020, §3.1 (window, global tokens); Zaheer et al. 2020 (blocks); Child et al. 2019, §4.3
(strided); Raffel et al. 2020, §3.2.1 (prefix).
"""

import numpy as np

from ._types import Ids, Mask


def _positions(length: int, keys: int, q_offset: int) -> tuple[Ids, Ids]:
    """p as a column (L, 1) and j as a row (1, S)."""
    return (np.arange(length) + q_offset)[:, None], np.arange(keys)[None, :]


def causal(length: int, keys: int, q_offset: int = 0) -> Mask:
    p, j = _positions(length, keys, q_offset)
    allowed: Mask = j <= p
    return allowed


def window(left: int, right: int, length: int, keys: int, q_offset: int = 0) -> Mask:
    p, j = _positions(length, keys, q_offset)
    allowed: Mask = (p - left <= j) & (j <= p + right)
    return allowed


def strided(stride: int, length: int, keys: int, q_offset: int = 0) -> Mask:
    p, j = _positions(length, keys, q_offset)
    allowed: Mask = (p - j) % stride == 0
    return allowed


def lengths(each: Ids, keys: int) -> Mask:
    allowed: Mask = np.arange(keys) < np.asarray(each)[:, None, None, None]
    return allowed


def prefix(n: Ids, keys: int) -> Mask:
    return lengths(n, keys)


def global_tokens(indices: Ids, length: int, keys: int, q_offset: int = 0) -> Mask:
    p, j = _positions(length, keys, q_offset)
    allowed: Mask = np.isin(p, indices) | np.isin(j, indices)
    return allowed


def blocks(layout: Mask, block_size: int, length: int, keys: int, q_offset: int = 0) -> Mask:
    p, j = _positions(length, keys, q_offset)
    allowed: Mask = np.asarray(layout)[..., p // block_size, j // block_size]
    return allowed


def documents(ids: Ids, length: int, q_offset: int = 0) -> Mask:
    """All positions are keys: S of them."""
    queries = ids[..., q_offset : q_offset + length]
    allowed: Mask = queries[..., :, None] == ids[..., None, :]
    return allowed if ids.ndim == 1 else allowed[:, None]

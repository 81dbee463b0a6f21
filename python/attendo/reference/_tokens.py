"""Sequences without their padding: the tokens of each row in their order, moved to its beginning."""

import numpy as np

from ._types import Array, Ids, Mask


def without_padding(ids: Ids, pad_id: int) -> tuple[Ids, Ids]:
    """ids (B, L) -> (B, n), n tokens in the longest row and pad_id behind the others, and lengths (B,)."""
    real = ids != pad_id
    lengths: Ids = np.sum(real, axis=1)
    tokens: Ids = np.full((len(ids), int(lengths.max(initial=0))), pad_id, dtype=np.int64)
    tokens[before_end(tokens, lengths)] = ids[real]
    return tokens, lengths


def before_end(ids: Ids, lengths: Ids) -> Mask:
    """ids (B, n), lengths (B,) -> (B, n): which positions stand before the end of their row."""
    inside: Mask = np.arange(ids.shape[1]) < np.asarray(lengths)[:, None]
    return inside


def put_back(x: Array, ids: Ids, pad_id: int) -> Array:
    """x (B, n, d), a row a token -> (B, L, d): where the tokens stood in ids (B, L), zeros at padding."""
    real = ids != pad_id
    out: Array = np.zeros((*ids.shape, x.shape[-1]), dtype=x.dtype)
    out[real] = x[before_end(*without_padding(ids, pad_id))]
    return out


def put_back_backward(d_out: Array, ids: Ids, pad_id: int) -> Array:
    """d_out (B, L, d) -> d_x (B, n, d)."""
    tokens, lengths = without_padding(ids, pad_id)
    d_x: Array = np.zeros((*tokens.shape, d_out.shape[-1]), dtype=d_out.dtype)
    d_x[before_end(tokens, lengths)] = d_out[ids != pad_id]
    return d_x

"""packed: attention of sequences of unequal lengths that lie one after the other

  forward    out[a_n:a_{n+1}] = attention(q[a_n:a_{n+1}], k[b_n:b_{n+1}], v[b_n:b_{n+1}])   for every n
  backward   the same slices of the gradients, from attention's backward

q: (..., ΣL, D)  k: (..., ΣS, D)  v: (..., ΣS, Dv)  offsets a, k_offsets b: (B + 1,), from 0 to ΣL and ΣS.
causal: query i of a sequence attends to its keys j <= i + q_offset[n].
Dao et al. 2022.
"""

import numpy as np

from ._types import Array, Ids, Mask
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _sequences(
    offsets: Ids, k_offsets: Ids | None, causal: bool, q_offset: Ids | int
) -> list[tuple[slice, slice, Mask | None]]:
    """The rows of q, the rows of k and v, and the mask of every sequence."""
    k_offsets = offsets if k_offsets is None else k_offsets
    count = len(offsets) - 1
    first_positions = np.broadcast_to(q_offset, count)
    sequences = []
    for n in range(count):
        queries = slice(int(offsets[n]), int(offsets[n + 1]))
        keys = slice(int(k_offsets[n]), int(k_offsets[n + 1]))
        i = np.arange(queries.stop - queries.start)[:, None] + first_positions[n]
        j = np.arange(keys.stop - keys.start)
        sequences.append((queries, keys, j <= i if causal else None))
    return sequences


def packed(
    q: Array,
    k: Array,
    v: Array,
    offsets: Ids,
    k_offsets: Ids | None = None,
    causal: bool = False,
    scale: float | None = None,
    q_offset: Ids | int = 0,
) -> Array:
    """q, k, v -> out (..., ΣL, Dv)."""
    out: Array = np.zeros((*q.shape[:-1], v.shape[-1]), dtype=q.dtype)
    for queries, keys, mask in _sequences(offsets, k_offsets, causal, q_offset):
        out[..., queries, :], _, _ = scaled_dot_product(
            q[..., queries, :], k[..., keys, :], v[..., keys, :], mask, scale=scale
        )
    return out


def packed_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    offsets: Ids,
    k_offsets: Ids | None = None,
    causal: bool = False,
    scale: float | None = None,
    q_offset: Ids | int = 0,
) -> tuple[Array, Array, Array]:
    """d_out like out -> d_q, d_k, d_v."""
    d_q, d_k, d_v = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for queries, keys, mask in _sequences(offsets, k_offsets, causal, q_offset):
        d_q[..., queries, :], d_k[..., keys, :], d_v[..., keys, :], _ = scaled_dot_product_backward(
            d_out[..., queries, :], q[..., queries, :], k[..., keys, :], v[..., keys, :], mask, scale=scale
        )
    return d_q, d_k, d_v

"""kv_cache: what a query that comes late sees of the keys and values before it

  out = attention(q, K, V), query i at position p_i = S - L + i, which sees the keys p_i - w < j <= p_i

q: (..., H, L, D), the last L positions  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv), all positions
window w: all keys up to its own when None.  mask and bias broadcast to (..., H, L, S).  No backward pass.
Shazeer 2019, §2.4.
"""

import numpy as np

from ._types import Array, Mask
from .scaled_dot_product import scaled_dot_product


def kv_cache(
    q: Array,
    k: Array,
    v: Array,
    window: int | None = None,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
) -> Array:
    """q, k, v -> out (..., H, L, Dv)."""
    length, keys = q.shape[-2], k.shape[-2]
    position = np.arange(keys - length, keys)[:, None]  # (L, 1)
    seen = np.arange(keys) <= position  # (L, S)
    if window is not None:
        seen &= np.arange(keys) > position - window
    if mask is not None:
        seen = seen & mask
    return scaled_dot_product(q, k, v, seen, bias, scale)[0]

"""kv_prefix: attention to a prefix besides the keys

  forward    out = attention(Q, [P_k; K], [P_v; V])     every query attends to all P rows of the prefix
  backward   that of attention; dP_k, dP_v: the first P rows of the gradients, summed over the batch

q: (B, H, L, D)  k: (B, Hkv, S, D)  v: (B, Hkv, S, Dv)  P_k: (P, Hkv D), P_v: (P, Hkv Dv), heads side by side
mask and bias are over the keys alone, (…, L, S).  out: (B, H, L, Dv)  weights: (B, H, L, S), those of the
keys: with those of the prefix they add up to 1.
Li and Liang 2021, §4.
"""

import numpy as np

from ._types import Array, Mask
from .multi_head import merge_heads, split_heads
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def _joined(rows: Array, prefix: Array) -> Array:
    """(B, Hkv, S, D) and (P, Hkv D) -> (B, Hkv, P + S, D)."""
    own = split_heads(prefix, rows.shape[-3])  # (Hkv, P, D)
    joined: Array = np.concatenate([np.broadcast_to(own, (*rows.shape[:-3], *own.shape)), rows], axis=-2)
    return joined


def _before_mask(mask: Mask | None, count: int) -> Mask | None:
    """(…, S) -> (…, P + S): the prefix may be attended."""
    if mask is None:
        return None
    wider: Mask = np.concatenate([np.ones((*mask.shape[:-1], count), bool), mask], axis=-1)
    return wider


def _before_bias(bias: Array | None, count: int) -> Array | None:
    """(…, S) -> (…, P + S): the prefix has none."""
    if bias is None:
        return None
    wider: Array = np.concatenate([np.zeros((*bias.shape[:-1], count), bias.dtype), bias], axis=-1)
    return wider


def kv_prefix(
    q: Array,
    k: Array,
    v: Array,
    prefix_k: Array,
    prefix_v: Array,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """-> out (B, H, L, Dv), weights of the keys (B, H, L, S). mask and bias have S columns."""
    count = prefix_k.shape[0]
    keys, values = _joined(k, prefix_k), _joined(v, prefix_v)
    out, weights = scaled_dot_product(
        q, keys, values, _before_mask(mask, count), _before_bias(bias, count), scale
    )[:2]
    return out, weights[..., count:]


def kv_prefix_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    prefix_k: Array,
    prefix_v: Array,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Array, Array, Array]:
    """d_out (B, H, L, Dv) -> d_q, d_k, d_v, d_prefix_k (P, Hkv D), d_prefix_v (P, Hkv Dv)."""
    count = prefix_k.shape[0]
    keys, values = _joined(k, prefix_k), _joined(v, prefix_v)
    d_q, d_keys, d_values = scaled_dot_product_backward(
        d_out, q, keys, values, _before_mask(mask, count), _before_bias(bias, count), scale
    )[:3]
    own = [merge_heads(d[..., :count, :].sum(axis=0)) for d in (d_keys, d_values)]
    return d_q, d_keys[..., count:, :], d_values[..., count:, :], own[0], own[1]

"""relative_position: attention in which keys and values know how far they are from the query

  forward    s_ij = scale q_i·(k_j + a_e(i,j)) + bias_ij        e(i, j) = clip(j - (i + q_offset), -c, c) + c
             P    = softmax over the allowed j
             o_i  = Σ_j P_ij (v_j + a'_e(i,j))
  backward   as scaled_dot_product, with dP_ij = do_i·(v_j + a'_e(i,j)), and
             dq_i += scale Σ_j dS_ij a_e(i,j)      da_e = scale Σ_{i,j: e(i,j) = e} dS_ij q_i
                                                   da'_e = Σ_{i,j: e(i,j) = e} P_ij do_i

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  out: (..., H, L, Dv)  weights: (..., H, L, S)
a = key_table: (2c + 1, D)  a' = value_table: (2c + 1, Dv) or None; with an axis H in front, a table a head.
The term q·a is a bias of scaled_dot_product, and the term P a' is added to what comes out of it.
Shaw et al. 2018, eq. 3 and 4.
"""

import math

import numpy as np

from ._types import Array, Mask
from .arithmetic import unbroadcast
from .relative_bias import relative_index
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward


def relative_position(
    q: Array,
    k: Array,
    v: Array,
    key_table: Array,
    value_table: Array | None = None,
    bias: Array | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
    q_offset: int = 0,
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv), weights (..., H, L, S)."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    rows = key_table.shape[-2]
    index = relative_index(q.shape[-2], k.shape[-2], rows, q_offset, rows // 2)
    a = key_table[..., index, :]  # (L, S, D) or (H, L, S, D)
    position = scale * np.sum(q[..., None, :] * a, axis=-1)  # (..., H, L, S)
    out, weights, _ = scaled_dot_product(q, k, v, mask, position if bias is None else position + bias, scale)
    if value_table is not None:
        rows = value_table.shape[-2]
        index = relative_index(q.shape[-2], k.shape[-2], rows, q_offset, rows // 2)
        out = out + np.sum(weights[..., None] * value_table[..., index, :], axis=-2)
    return out, weights


def relative_position_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    key_table: Array,
    value_table: Array | None = None,
    bias: Array | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
    q_offset: int = 0,
) -> tuple[Array, Array, Array, Array, Array | None, Array | None]:
    """-> d_q, d_k, d_v, d_key_table, d_value_table, d_bias (None without them)."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    _, weights = relative_position(q, k, v, key_table, value_table, bias, mask, scale, q_offset)
    length, keys = weights.shape[-2:]
    rows = key_table.shape[-2]
    index = relative_index(length, keys, rows, q_offset, rows // 2)
    a = key_table[..., index, :]
    position = scale * np.sum(q[..., None, :] * a, axis=-1)

    d_weights, d_value_table = None, None
    if value_table is not None:  # 1. through o_i += Σ_j P_ij a'_e(i,j)
        value_rows = value_table.shape[-2]
        value_index = relative_index(length, keys, value_rows, q_offset, value_rows // 2)
        d_weights = np.sum(d_out[..., None, :] * value_table[..., value_index, :], axis=-1)
        d_value_table = np.zeros_like(value_table)
        for e in range(value_rows):
            of_entry = np.sum(np.where(value_index == e, weights, 0), axis=-1)  # (..., H, L)
            terms = np.sum(of_entry[..., None] * d_out, axis=-2)  # (..., H, Dv)
            d_value_table[..., e, :] = unbroadcast(terms, d_value_table[..., e, :].shape)

    # 2. through scaled dot-product attention, whose bias is scale q·a + bias
    whole = position if bias is None else position + bias
    d_q, d_k, d_v, d_s = scaled_dot_product_backward(d_out, q, k, v, mask, whole, scale, d_weights)
    assert d_s is not None

    # 3. through scale q·a
    d_q = d_q + scale * np.sum(d_s[..., None] * a, axis=-2)
    d_key_table = np.zeros_like(key_table)
    for e in range(rows):
        of_entry = np.sum(np.where(index == e, d_s, 0), axis=-1)  # (..., H, L)
        terms = scale * np.sum(of_entry[..., None] * q, axis=-2)  # (..., H, D)
        d_key_table[..., e, :] = unbroadcast(terms, d_key_table[..., e, :].shape)
    d_bias = None if bias is None else unbroadcast(d_s, bias.shape)
    return d_q, d_k, d_v, d_key_table, d_value_table, d_bias

"""scaled_dot_product: attention of every query to every key

  forward    s_ij  = scale Σ_d q_id k_jd + bias_ij           the score of key j
             P_ij  = exp(s_ij - m_i) / Σ_j exp(s_ij - m_i)   0 for keys i may not attend;  m_i = max_j s_ij
             out_i = Σ_j P_ij v_j
             lse_i = log Σ_j exp(s_ij)                       kept by the fast path instead of P
  backward   dP_ij = Σ_d dout_id v_jd                        + dweights_ij, if the weights are used as well
             ds_ij = P_ij (dP_ij - Σ_k dP_ik P_ik)           softmax's backward; 0 where masked
             dq_i  = scale Σ_j ds_ij k_j        dk_j = scale Σ_i ds_ij q_i        dv_j = Σ_i P_ij dout_i
             dbias = ds, summed over the axes along which bias was broadcast

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  out: (..., H, L, Dv)  lse: (..., H, L)
s, P = weights: (..., H, L, S)  mask (bool, True = may attend) and bias broadcast to (..., H, L, S)
scale is 1 / √D unless given.  H is a multiple of Hkv: query head h reads key-value head h // (H / Hkv).
Without heads: q (L, D), k (S, D), v (S, Dv).

What may not be attended is selected away, never multiplied by 0: a NaN in a masked key or value does not
leak, a NaN in an attended one does.
A query that may attend nothing has weights, output and gradients 0, and lse -inf.
Vaswani et al. 2017, eq. 1; Dao et al. 2022, appendix B.2 (backward); Ainslie et al. 2023 (grouped heads);
articles 000 §3.2 (there Qᵀ K, for columns), 001 §4.1, 002 §3.1, 003 §4.1.
"""

import math

import numpy as np

from ._types import Array, Mask
from .arithmetic import unbroadcast


def _repeat_heads(x: Array, num_heads: int) -> Array:
    """(..., Hkv, S, D) -> (..., H, S, D): each key-value head once for every query head that reads it."""
    repeated: Array = np.repeat(x, num_heads // x.shape[-3], axis=-3)
    return repeated


def _sum_repeated(d_x: Array, kv_heads: int) -> Array:
    """(..., H, S, D) -> (..., Hkv, S, D): the backward of _repeat_heads."""
    *batch, num_heads, length, features = d_x.shape
    grouped = d_x.reshape(*batch, kv_heads, num_heads // kv_heads, length, features)
    summed: Array = np.sum(grouped, axis=-3)
    return summed


def _selected_sum(coefficients: Array, rows: Array, selected: Mask) -> Array:
    """y_i = Σ_j coefficients_ij rows_j over the selected (i, j) alone.

    coefficients, selected: (..., I, J)  rows: (..., J, D)  y: (..., I, D).  A matrix product that selects.
    """
    y: Array = np.zeros((*coefficients.shape[:-1], rows.shape[-1]), dtype=rows.dtype)
    for j in range(rows.shape[-2]):
        terms = coefficients[..., :, j, None] * rows[..., None, j, :]  # (..., I, D)
        y += np.where(selected[..., :, j, None], terms, 0)
    return y


def _allowed(mask: Mask | None, shape: tuple[int, ...]) -> Mask:
    allowed: Mask = np.ones(shape, dtype=bool) if mask is None else np.broadcast_to(mask, shape)
    return allowed


def scaled_dot_product_steps(
    q: Array,
    k: Array,
    v: Array,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
) -> dict[str, Array]:
    """Every intermediate by name, in the order it is computed.

    scores, scaled, biased, masked, exponentials and weights are (..., H, L, S); row_max and row_sum
    (..., H, L, 1); lse (..., H, L); out (..., H, L, Dv).
    """
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    if q.ndim > 2:
        k, v = _repeat_heads(k, q.shape[-3]), _repeat_heads(v, q.shape[-3])

    scores: Array = q @ np.swapaxes(k, -1, -2)  # (..., H, L, S)
    scaled: Array = scale * scores
    biased: Array = scaled if bias is None else scaled + bias
    allowed = _allowed(mask, biased.shape)
    masked: Array = np.where(allowed, biased, -np.inf)

    row_max: Array = np.max(masked, axis=-1, keepdims=True, initial=-np.inf)  # (..., H, L, 1)
    shift = np.where(row_max == -np.inf, 0, row_max)  # nothing to attend: -inf - (-inf) would be NaN
    exponentials: Array = np.where(allowed, np.exp(masked - shift), 0)
    row_sum: Array = np.sum(exponentials, axis=-1, keepdims=True)  # (..., H, L, 1)
    divisor = np.where(row_sum == 0, 1, row_sum)
    weights: Array = np.where(allowed, exponentials / divisor, 0)  # where, because 0 / NaN is NaN
    lse: Array = np.where(row_sum == 0, -np.inf, shift + np.log(divisor))[..., 0]  # (..., H, L)
    out = _selected_sum(weights, v, allowed)  # (..., H, L, Dv)
    return {
        "scores": scores,
        "scaled": scaled,
        "biased": biased,
        "masked": masked,
        "row_max": row_max,
        "exponentials": exponentials,
        "row_sum": row_sum,
        "weights": weights,
        "lse": lse,
        "out": out,
    }


def scaled_dot_product(
    q: Array,
    k: Array,
    v: Array,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    """q, k, v -> out (..., H, L, Dv), weights (..., H, L, S), lse (..., H, L)."""
    steps = scaled_dot_product_steps(q, k, v, mask, bias, scale)
    return steps["out"], steps["weights"], steps["lse"]


def scaled_dot_product_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
    d_weights: Array | None = None,
) -> tuple[Array, Array, Array, Array | None]:
    """d_out like out, d_weights like weights or None -> d_q, d_k, d_v, d_bias (None without bias)."""
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    _, weights, _ = scaled_dot_product(q, k, v, mask, bias, scale)
    allowed = _allowed(mask, weights.shape)
    allowed_t, weights_t = np.swapaxes(allowed, -1, -2), np.swapaxes(weights, -1, -2)  # (..., H, S, L)
    has_heads = q.ndim > 2
    kv_heads = k.shape[-3] if has_heads else 1
    if has_heads:
        k, v = _repeat_heads(k, q.shape[-3]), _repeat_heads(v, q.shape[-3])

    # 1. through out = P v
    d_v = _selected_sum(weights_t, d_out, allowed_t)  # (..., H, S, Dv)
    d_p = d_out @ np.swapaxes(v, -1, -2)  # (..., H, L, S)
    if d_weights is not None:
        d_p = d_p + d_weights
    d_p = np.where(allowed, d_p, 0)

    # 2. through P = softmax(s)
    row_dot = np.sum(d_p * weights, axis=-1, keepdims=True)  # (..., H, L, 1)
    d_s: Array = np.where(allowed, weights * (d_p - row_dot), 0)

    # 3. through s = scale q kᵀ + bias
    d_q: Array = scale * _selected_sum(d_s, k, allowed)  # (..., H, L, D)
    d_k: Array = scale * _selected_sum(np.swapaxes(d_s, -1, -2), q, allowed_t)  # (..., H, S, D)
    d_bias = None if bias is None else unbroadcast(d_s, bias.shape)

    if has_heads:
        d_k, d_v = _sum_repeated(d_k, kv_heads), _sum_repeated(d_v, kv_heads)
    return d_q, d_k, d_v, d_bias

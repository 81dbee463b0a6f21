"""scaled_dot_product: attention of every query to every key

  forward    a_ij  = scale Σ_d q_id k_jd
             c_ij  = softcap tanh(a_ij / softcap)            a_ij without a soft-cap
             s_ij  = score_mod(c_ij, b, h, i, j) + bias_ij   the score of key j; c_ij + bias_ij without
             P_ij  = exp(s_ij - m_i) / Σ_j exp(s_ij - m_i)   0 for keys i may not attend;  m_i = max_j s_ij
             out_i = Σ_j P_ij v_j
             lse_i = log Σ_j exp(s_ij)                       kept by the fast path instead of P
  backward   dP_ij = Σ_d dout_id v_jd                        + dweights_ij, if the weights are used as well
             ds_ij = P_ij (dP_ij - Σ_k dP_ik P_ik)           softmax's backward; 0 where masked
             da_ij = ds_ij score_mod'(c_ij) (1 - (c_ij / softcap)²)
             dq_i  = scale Σ_j da_ij k_j        dk_j = scale Σ_i da_ij q_i        dv_j = Σ_i P_ij dout_i
             dbias = ds, summed over the axes along which bias was broadcast
             dsink_h = -Σ_i exp(sink_h - lse_i) Σ_k dP_ik P_ik

A sink is one more score in the softmax, of a key without a value: m_i, lse_i and the sum in P_ij include it.

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  out: (..., H, L, Dv)  lse: (..., H, L)
s, P = weights: (..., H, L, S)  mask (bool, True = may attend) and bias broadcast to (..., H, L, S)
b counts all batch axes as one, h the query heads, i (from q_offset on) the queries, j the keys.  sinks: (H,).
scale is 1 / √D unless given.  H is a multiple of Hkv: query head h reads key-value head h // (H / Hkv).
Without heads: q (L, D), k (S, D), v (S, Dv).

What may not be attended is selected away, never multiplied by 0: a NaN in a masked key or value does not
leak, a NaN in an attended one does.
A query that may attend nothing has weights, output and gradients 0, and lse -inf.
Vaswani et al. 2017, eq. 1; Dao et al. 2022, appendix B.2 (backward); Ainslie et al. 2023 (grouped heads);
articles 000 §3.2 (there Qᵀ K, for columns), 001 §4.1, 002 §3.1, 003 §4.1.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ._types import Array, Mask
from .arithmetic import unbroadcast

ScoreMod: TypeAlias = Callable[..., Any]  # of s, b, h, i, j


def score_indices(shape: tuple[int, ...], q_offset: int = 0) -> tuple[Any, Any, Any, Any]:
    """b, h, i, j for scores (…, H, L, S): integers that broadcast to them."""
    *batch, heads, length, keys = shape if len(shape) > 2 else (1, *shape)
    ones = (1,) * (len(shape) - 2)
    b = np.arange(math.prod(batch)).reshape(*batch, 1, 1, 1) if len(shape) > 2 else np.zeros((1, 1), int)
    h = np.arange(heads).reshape(heads, 1, 1) if len(shape) > 2 else np.zeros((1, 1), int)
    i = (np.arange(length) + q_offset).reshape(*ones, length, 1)
    return b, h, i, np.arange(keys).reshape(*ones, 1, keys)


def _sink_column(sinks: Array, shape: tuple[int, ...]) -> Array:
    """(H,) -> what broadcasts to (…, H, L, 1)."""
    column: Array = np.reshape(sinks, (-1, 1, 1) if len(shape) > 2 else (1, 1))
    return column


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
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: Array | None = None,
    q_offset: int = 0,
) -> dict[str, Array]:
    """Every intermediate by name, in the order it is computed.

    scores, scaled, capped, modified, biased, masked, exponentials and weights are (..., H, L, S); row_max and
    row_sum (..., H, L, 1); lse (..., H, L); out (..., H, L, Dv).
    """
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    if q.ndim > 2:
        k, v = _repeat_heads(k, q.shape[-3]), _repeat_heads(v, q.shape[-3])

    scores: Array = q @ np.swapaxes(k, -1, -2)  # (..., H, L, S)
    scaled: Array = scale * scores
    capped: Array = scaled if softcap is None else softcap * np.tanh(scaled / softcap)
    modified: Array = capped
    if score_mod is not None:
        modified = np.broadcast_to(score_mod(capped, *score_indices(scores.shape, q_offset)), scores.shape)
        modified = modified.astype(scores.dtype)
    biased: Array = modified if bias is None else modified + bias
    allowed = _allowed(mask, biased.shape)
    masked: Array = np.where(allowed, biased, -np.inf)

    row_max: Array = np.max(masked, axis=-1, keepdims=True, initial=-np.inf)  # (..., H, L, 1)
    sink = np.full((1, 1), -np.inf, q.dtype) if sinks is None else _sink_column(sinks, scores.shape)
    row_max = np.maximum(row_max, sink)
    shift = np.where(row_max == -np.inf, 0, row_max)  # nothing to attend: -inf - (-inf) would be NaN
    exponentials: Array = np.where(allowed, np.exp(masked - shift), 0)
    row_sum: Array = np.sum(exponentials, axis=-1, keepdims=True) + np.exp(sink - shift)  # (..., H, L, 1)
    divisor = np.where(row_sum == 0, 1, row_sum)
    weights: Array = np.where(allowed, exponentials / divisor, 0)  # where, because 0 / NaN is NaN
    lse: Array = np.where(row_sum == 0, -np.inf, shift + np.log(divisor))[..., 0]  # (..., H, L)
    out = _selected_sum(weights, v, allowed)  # (..., H, L, Dv)
    return {
        "scores": scores,
        "scaled": scaled,
        "capped": capped,
        "modified": modified,
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
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    sinks: Array | None = None,
    q_offset: int = 0,
) -> tuple[Array, Array, Array]:
    """q, k, v -> out (..., H, L, Dv), weights (..., H, L, S), lse (..., H, L)."""
    steps = scaled_dot_product_steps(q, k, v, mask, bias, scale, softcap, score_mod, sinks, q_offset)
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
    softcap: float | None = None,
    score_mod: ScoreMod | None = None,
    score_slope: ScoreMod | None = None,
    sinks: Array | None = None,
    q_offset: int = 0,
) -> tuple[Array, Array, Array, Array | None]:
    """d_out like out, d_weights like weights or None -> d_q, d_k, d_v, d_bias (None without bias).

    score_slope: the derivative of score_mod by its s, as a function of the same arguments.
    """
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    steps = scaled_dot_product_steps(q, k, v, mask, bias, scale, softcap, score_mod, sinks, q_offset)
    weights, capped = steps["weights"], steps["capped"]
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

    # 3. through s = score_mod(c) + bias and c = softcap tanh(a / softcap)
    d_bias = None if bias is None else unbroadcast(d_s, bias.shape)
    d_a: Array = d_s
    if score_slope is not None:
        slope = score_slope(capped, *score_indices(capped.shape, q_offset))
        d_a = np.where(d_s == 0, 0, d_s * slope)
    if softcap is not None:
        d_a = d_a * (1 - (capped / softcap) ** 2)

    # 4. through a = scale q kᵀ
    d_q: Array = scale * _selected_sum(d_a, k, allowed)  # (..., H, L, D)
    d_k: Array = scale * _selected_sum(np.swapaxes(d_a, -1, -2), q, allowed_t)  # (..., H, S, D)

    if has_heads:
        d_k, d_v = _sum_repeated(d_k, kv_heads), _sum_repeated(d_v, kv_heads)
    return d_q, d_k, d_v, d_bias


def scaled_dot_product_d_sinks(
    d_out: Array,
    out: Array,
    lse: Array,
    sinks: Array,
    weights: Array | None = None,
    d_weights: Array | None = None,
) -> Array:
    """d_out, out (..., H, L, Dv), lse (..., H, L) -> d_sinks (H,); d_weights if the weights are used."""
    row_dot = np.sum(d_out * out, axis=-1)  # Σ_k dP_ik P_ik, (..., H, L)
    if weights is not None and d_weights is not None:
        row_dot = row_dot + np.sum(d_weights * weights, axis=-1)
    share = np.exp(_sink_column(sinks, (*out.shape[:-1], 1))[..., 0] - lse)  # the sink's own weight
    d_sinks: Array = -np.sum((share * row_dot).reshape(-1, sinks.size, lse.shape[-1]), axis=(0, 2))
    return d_sinks

"""scored: attention with any score

  forward    s_ij = score(q_i, k_j)     P_i = softmax over the allowed j of scale s_ij + bias_ij
             out_i = Σ_j P_ij v_j
  backward   that of attention gives ds and dv; that of the score dq, dk and the gradients of its parameters

q: (..., H, L, Dq)  k: (..., Hkv, S, Dk)  v: (..., Hkv, S, Dv)  out: (..., H, L, Dv)  P: (..., H, L, S).
score: dot, scaled_dot, general (W), additive (W_q, W_k, v_a[, b] or v_a), cosine, kernel (h).
Luong et al. 2015, §3.1; articles 001 §3.2, 003 §3.1, 004 §3.2.
"""

import math
from collections.abc import Sequence

import numpy as np

from ._types import Array, Mask
from .additive import additive, additive_backward
from .arithmetic import unbroadcast
from .cosine import cosine, cosine_backward
from .general import general, general_backward
from .kernel import kernel, kernel_backward
from .qk_norm import qk_norm, qk_norm_backward
from .scaled_dot_product import (
    _repeat_heads,
    _sum_repeated,
    scaled_dot_product,
    scaled_dot_product_backward,
)


def _six(params: Sequence[Array]) -> tuple[Array | None, Array | None, Array, Array | None]:
    """additive's parameters, of which there are one, three or four."""
    if len(params) == 1:
        return None, None, params[0], None
    return params[0], params[1], params[2], params[3] if len(params) > 3 else None


def score_of(q: Array, k: Array, score: str, params: Sequence[Array] = ()) -> Array:
    """-> (..., H, L, S), before the scale."""
    if score == "general":
        return general(q, k, params[0])
    if score == "additive":
        return additive(q, k, *_six(params))
    if score == "cosine":
        return cosine(q, k)
    if score == "kernel":
        return kernel(q, k, params[0])
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    scores: Array = q @ np.swapaxes(k, -1, -2)
    return scores


def score_of_backward(
    d_s: Array, q: Array, k: Array, score: str, params: Sequence[Array] = ()
) -> tuple[Array, Array, list[Array]]:
    """-> d_q, d_k and a gradient for each of params."""
    if score == "general":
        d_q, d_k, d_w = general_backward(d_s, q, k, params[0])
        return d_q, d_k, [d_w]
    if score == "additive":
        d_q_, d_k_, d_w_q, d_w_k, d_v_a, d_b = additive_backward(d_s, q, k, *_six(params))
        assert d_q_ is not None and d_k_ is not None
        return d_q_, d_k_, [d for d in (d_w_q, d_w_k, d_v_a, d_b) if d is not None]
    if score == "cosine":
        return *cosine_backward(d_s, q, k), []
    if score == "kernel":
        d_q, d_k, d_h = kernel_backward(d_s, q, k, params[0])
        return d_q, d_k, [d_h]
    kv_heads = k.shape[-3] if q.ndim > 2 else 1
    if q.ndim > 2:
        k = _repeat_heads(k, q.shape[-3])
    d_q, d_k = d_s @ k, np.swapaxes(d_s, -1, -2) @ q
    return d_q, _sum_repeated(d_k, kv_heads) if q.ndim > 2 else d_k, []


def _bias(
    q: Array, k: Array, score: str, params: Sequence[Array], scale: float | None
) -> tuple[Array, float]:
    """scale · scores (..., H, L, S), and the scale."""
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if score == "scaled_dot" else 1.0
    return scale * score_of(q, k, score, params), scale


def scored(
    q: Array,
    k: Array,
    v: Array,
    score: str = "scaled_dot",
    params: Sequence[Array] = (),
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
    norm: str | None = None,
    norm_weights: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv), weights (..., H, L, S)."""
    q, k = qk_norm(q, k, norm, norm_weights)
    s, _ = _bias(q, k, score, params, scale)
    out, weights, _ = scaled_dot_product(
        q[..., :0], k[..., :0], v, mask, s if bias is None else s + bias, 1.0
    )
    return out, weights


def scored_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    score: str = "scaled_dot",
    params: Sequence[Array] = (),
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
    norm: str | None = None,
    norm_weights: tuple[Array | None, Array | None] = (None, None),
    d_weights: Array | None = None,
) -> tuple[Array, Array, Array, list[Array], Array | None, tuple[Array | None, Array | None]]:
    """-> d_q, d_k, d_v, gradients of params, d_bias (None without), those of the norm's weights."""
    unit_q, unit_k = qk_norm(q, k, norm, norm_weights)
    s, factor = _bias(unit_q, unit_k, score, params, scale)
    _, _, d_v, d_s = scaled_dot_product_backward(
        d_out, q[..., :0], k[..., :0], v, mask, s if bias is None else s + bias, 1.0, d_weights
    )
    assert d_s is not None
    d_q, d_k, d_params = score_of_backward(factor * d_s, unit_q, unit_k, score, params)
    d_q, d_k, d_q_weight, d_k_weight = qk_norm_backward(d_q, d_k, q, k, norm, norm_weights)
    d_bias = None if bias is None else unbroadcast(d_s, bias.shape)
    return d_q, d_k, d_v, d_params, d_bias, (d_q_weight, d_k_weight)

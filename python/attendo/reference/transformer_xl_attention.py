"""transformer_xl_attention: scores of content and of distance

  forward    s_ij = scale ((q_i + u)·k_j + (q_i + w)·r_{i + q_offset - j}) + bias_ij
             P = softmax over the allowed j,  o = P v
  backward   as scaled_dot_product with the query q + u, and
             dq_i += scale Σ_j dS_ij r_{i-j}      dr_t = scale Σ_{i-j = t} dS_ij (q_i + w)
             du = Σ_i scale Σ_j dS_ij k_j         dw = Σ_i scale Σ_j dS_ij r_{i-j}
  sinusoid   R_t = [sin(t f_k), cos(t f_k)],  f_k = 10000^(-2k/d),  k < d/2;   r_t = W_r R_t, cut into heads

q: (..., H, L, D)  k: (..., Hkv, S, D)  v: (..., Hkv, S, Dv)  u, w = content_bias, position_bias: (H, D)
r: (H, R, D), its rows the distances q_offset + L - 1, q_offset + L - 2, …: down to 0 (R = q_offset + L, where
no key after its query matters) or to q_offset - (S - 1) (R = L + S - 1).
Without heads: r (R, D), u and w (D,).
Dai et al. 2019, §3.3 and appendix B.

As a layer: the queries are of x (B, L, d), keys and values of [memory, x] (segment_recurrence), q_offset = M.
"""

import math

import numpy as np

from ._types import Array, Mask, Parameters
from .arithmetic import unbroadcast
from .linear import linear, linear_backward
from .multi_head import merge_heads, split_heads
from .relative_bias import relative_index
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward
from .segment_recurrence import segment_recurrence, segment_recurrence_backward


def transformer_xl_attention(
    q: Array,
    k: Array,
    v: Array,
    r: Array,
    content_bias: Array,
    position_bias: Array,
    bias: Array | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
    q_offset: int = 0,
) -> tuple[Array, Array]:
    """-> out (..., H, L, Dv), weights (..., H, L, S)."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    length, keys = q.shape[-2], k.shape[-2]
    index = relative_index(length, keys, r.shape[-2], 0, length - 1)
    r_ij = r[..., index, :]  # (H, L, S, D)
    position = scale * np.sum((q + position_bias[..., None, :])[..., None, :] * r_ij, axis=-1)
    whole = position if bias is None else position + bias
    out, weights, _ = scaled_dot_product(q + content_bias[..., None, :], k, v, mask, whole, scale)
    return out, weights


def transformer_xl_attention_backward(
    d_out: Array,
    q: Array,
    k: Array,
    v: Array,
    r: Array,
    content_bias: Array,
    position_bias: Array,
    bias: Array | None = None,
    mask: Mask | None = None,
    scale: float | None = None,
    q_offset: int = 0,
) -> tuple[Array, Array, Array, Array, Array, Array, Array | None]:
    """-> d_q, d_k, d_v, d_r, d_content_bias, d_position_bias, d_bias."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    length, keys = q.shape[-2], k.shape[-2]
    index = relative_index(length, keys, r.shape[-2], 0, length - 1)
    r_ij = r[..., index, :]
    q_w = q + position_bias[..., None, :]
    position = scale * np.sum(q_w[..., None, :] * r_ij, axis=-1)
    whole = position if bias is None else position + bias

    d_content, d_k, d_v, d_s = scaled_dot_product_backward(
        d_out, q + content_bias[..., None, :], k, v, mask, whole, scale
    )
    assert d_s is not None
    d_q_w = scale * np.sum(d_s[..., None] * r_ij, axis=-2)  # (..., H, L, D)
    d_r = np.zeros_like(r)
    for e in range(r.shape[-2]):
        of_entry = np.sum(np.where(index == e, d_s, 0), axis=-1)  # (..., H, L)
        terms = scale * np.sum(of_entry[..., None] * q_w, axis=-2)  # (..., H, D)
        d_r[..., e, :] = unbroadcast(terms, d_r[..., e, :].shape)
    d_content_bias = unbroadcast(np.sum(d_content, axis=-2), content_bias.shape)
    d_position_bias = unbroadcast(np.sum(d_q_w, axis=-2), position_bias.shape)
    d_bias = None if bias is None else unbroadcast(d_s, bias.shape)
    return d_content + d_q_w, d_k, d_v, d_r, d_content_bias, d_position_bias, d_bias


def relative_sinusoid(first: int, count: int, d_model: int) -> Array:
    """-> (count, d): R of the distances first, first - 1, …"""
    distance = first - np.arange(count)
    angle = distance[:, None] * 10000.0 ** (-2 * np.arange(d_model // 2) / max(1, d_model))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)


def _heads(x: Array, parameters: Parameters, part: int, num_heads: int) -> Array:
    """Queries (0), keys (1) or values (2) of x, cut into heads: (B, H, ·, D)."""
    weight = np.split(parameters["in_proj_weight"], 3)[part]
    bias = np.split(parameters["in_proj_bias"], 3)[part] if "in_proj_bias" in parameters else None
    return split_heads(linear(x, weight, bias), num_heads)


def transformer_xl_layer(
    x: Array,
    memory: Array | None,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
) -> tuple[Array, Array]:
    """x (B, L, d), memory (B, M, d) -> out (B, L, d), weights (B, H, L, M + L)."""
    extended, _ = segment_recurrence(x, memory)
    length, keys = x.shape[-2], extended.shape[-2]
    sinusoid = relative_sinusoid(keys - 1, length + keys - 1, x.shape[-1]).astype(x.dtype)
    r = split_heads(linear(sinusoid, parameters["r_proj.weight"], None), num_heads)  # (H, R, D)
    q, k, v = (_heads(part, parameters, n, num_heads) for n, part in enumerate((x, extended, extended)))
    heads, weights = transformer_xl_attention(
        q, k, v, r, parameters["content_bias"], parameters["position_bias"], mask=mask, q_offset=keys - length
    )
    out = linear(merge_heads(heads), parameters["out_proj.weight"], parameters.get("out_proj.bias"))
    return out, weights


def transformer_xl_layer_backward(
    d_out: Array,
    x: Array,
    memory: Array | None,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
) -> tuple[Array, Array | None, Parameters]:
    """-> d_x, d_memory (zeros: it is remembered, not trained through), gradients of parameters by name."""
    extended, _ = segment_recurrence(x, memory)
    length, keys = x.shape[-2], extended.shape[-2]
    sinusoid = relative_sinusoid(keys - 1, length + keys - 1, x.shape[-1]).astype(x.dtype)
    r = split_heads(linear(sinusoid, parameters["r_proj.weight"], None), num_heads)
    q, k, v = (_heads(part, parameters, n, num_heads) for n, part in enumerate((x, extended, extended)))
    u, w = parameters["content_bias"], parameters["position_bias"]
    heads, _ = transformer_xl_attention(q, k, v, r, u, w, mask=mask, q_offset=keys - length)

    has_bias = "in_proj_bias" in parameters
    d: Parameters = {}
    d_merged, d["out_proj.weight"], d_out_bias = linear_backward(
        d_out, merge_heads(heads), parameters["out_proj.weight"], parameters.get("out_proj.bias")
    )
    d_q, d_k, d_v, d_r, d["content_bias"], d["position_bias"], _ = transformer_xl_attention_backward(
        split_heads(d_merged, num_heads), q, k, v, r, u, w, mask=mask, q_offset=keys - length
    )
    _, d["r_proj.weight"], _ = linear_backward(merge_heads(d_r), sinusoid, parameters["r_proj.weight"], None)
    weights = np.split(parameters["in_proj_weight"], 3)
    biases = np.split(parameters["in_proj_bias"], 3) if has_bias else [None] * 3
    d_parts = [
        linear_backward(merge_heads(d_heads), part, weight, bias)
        for d_heads, part, weight, bias in zip(
            (d_q, d_k, d_v), (x, extended, extended), weights, biases, strict=True
        )
    ]
    d["in_proj_weight"] = np.concatenate([d_weight for _, d_weight, _ in d_parts])
    if has_bias:
        d["in_proj_bias"] = np.concatenate([d_b for _, _, d_b in d_parts if d_b is not None])
        assert d_out_bias is not None
        d["out_proj.bias"] = d_out_bias
    d_x, d_memory = segment_recurrence_backward(d_parts[1][0] + d_parts[2][0], x, memory)
    return d_parts[0][0] + d_x, d_memory, d

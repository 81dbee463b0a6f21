"""multi_head: attention in H heads side by side

  forward    Q = x_q W_qᵀ + b_q     K = x_k W_kᵀ + b_k     V = x_v W_vᵀ + b_v
             head_h = scaled_dot_product(Q_h, K_g, V_g)     Q_h: columns h D … (h + 1) D - 1 of Q
                                                            g = h // (H / Hkv): grouped-query heads
             out = [head_0 … head_{H-1}] W_oᵀ + b_o
  backward   the same path from the end: linear_backward (dW_o, db_o); cut dout into heads;
             scaled_dot_product_backward; join the heads' dQ_h, dK_h, dV_h; linear_backward three times

x_q: (..., L, d)  x_k: (..., S, dk)  x_v: (..., S, dv)  weights as (out, in): W_q (H D, d)  W_k (Hkv D, dk)
W_v (Hkv Dv, dv)  W_o (d, H Dv)  b_q … b_o: (out,) or None.  The usual: Hkv = H, D = Dv = d / H, dk = dv = d.
out: (..., L, d)  weights: (..., H, L, S).  mask and bias broadcast to (..., H, L, S).
Self-attention: x_q, x_k and x_v are one array (add its three gradients).  Cross-attention: x_k and x_v are
the other sequence.
Vaswani et al. 2017, §3.2.2; Shazeer 2019 (Hkv = 1); Ainslie et al. 2023 (Hkv < H); article 003 §4.3.
"""

from typing import TypeAlias

import numpy as np

from ._types import Array, Mask, Parameters
from .linear import linear, linear_backward
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward

Maybe: TypeAlias = Array | None
Gradients: TypeAlias = tuple[
    Array, Array, Array,  # x_q, x_k, x_v
    Array, Array, Array, Array,  # w_q, w_k, w_v, w_o
    Maybe, Maybe, Maybe, Maybe,  # b_q, b_k, b_v, b_o
    Maybe,  # bias
]  # fmt: skip


def split_heads(x: Array, num_heads: int) -> Array:
    """(..., L, H D) -> (..., H, L, D)."""
    *batch, length, d_model = x.shape
    heads: Array = np.swapaxes(x.reshape(*batch, length, num_heads, d_model // num_heads), -2, -3)
    return heads


def merge_heads(x: Array) -> Array:
    """(..., H, L, D) -> (..., L, H D)."""
    *batch, num_heads, length, features = x.shape
    merged: Array = np.swapaxes(x, -2, -3).reshape(*batch, length, num_heads * features)
    return merged


def multi_head(
    x_q: Array,
    x_k: Array,
    x_v: Array,
    w_q: Array,
    w_k: Array,
    w_v: Array,
    w_o: Array,
    b_q: Array | None,
    b_k: Array | None,
    b_v: Array | None,
    b_o: Array | None,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
    num_kv_heads: int | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """-> out (..., L, d) and the weights of every head (..., H, L, S)."""
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    q = split_heads(linear(x_q, w_q, b_q), num_heads)  # (..., H, L, D)
    k = split_heads(linear(x_k, w_k, b_k), kv_heads)  # (..., Hkv, S, D)
    v = split_heads(linear(x_v, w_v, b_v), kv_heads)  # (..., Hkv, S, Dv)
    heads, weights, _ = scaled_dot_product(q, k, v, mask, bias, scale)
    return linear(merge_heads(heads), w_o, b_o), weights


def multi_head_backward(
    d_out: Array,
    x_q: Array,
    x_k: Array,
    x_v: Array,
    w_q: Array,
    w_k: Array,
    w_v: Array,
    w_o: Array,
    b_q: Array | None,
    b_k: Array | None,
    b_v: Array | None,
    b_o: Array | None,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
    d_weights: Array | None = None,
    num_kv_heads: int | None = None,
    scale: float | None = None,
) -> Gradients:
    """-> d_x_q, d_x_k, d_x_v, d_w_q, d_w_k, d_w_v, d_w_o, d_b_q, d_b_k, d_b_v, d_b_o, d_bias."""
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    q = split_heads(linear(x_q, w_q, b_q), num_heads)
    k = split_heads(linear(x_k, w_k, b_k), kv_heads)
    v = split_heads(linear(x_v, w_v, b_v), kv_heads)
    heads, _, _ = scaled_dot_product(q, k, v, mask, bias, scale)

    d_merged, d_w_o, d_b_o = linear_backward(d_out, merge_heads(heads), w_o, b_o)
    d_heads = split_heads(d_merged, num_heads)
    d_q, d_k, d_v, d_bias = scaled_dot_product_backward(d_heads, q, k, v, mask, bias, scale, d_weights)
    d_x_q, d_w_q, d_b_q = linear_backward(merge_heads(d_q), x_q, w_q, b_q)
    d_x_k, d_w_k, d_b_k = linear_backward(merge_heads(d_k), x_k, w_k, b_k)
    d_x_v, d_w_v, d_b_v = linear_backward(merge_heads(d_v), x_v, w_v, b_v)
    return d_x_q, d_x_k, d_x_v, d_w_q, d_w_k, d_w_v, d_w_o, d_b_q, d_b_k, d_b_v, d_b_o, d_bias


# As a layer: parameters in_proj_weight (H D + Hkv D + Hkv Dv, d) = W_q, W_k, W_v stacked, or q_proj_weight,
# k_proj_weight and v_proj_weight one by one; in_proj_bias (their rows,), out_proj.weight (d, H Dv),
# out_proj.bias (d,); each of the two biases may be absent.


def _rows(parameters: Parameters, num_heads: int, kv_heads: int) -> list[int]:
    """Where the rows of W_q and of W_k end."""
    if "in_proj_weight" not in parameters:
        q_rows = parameters["q_proj_weight"].shape[0]
        return [q_rows, q_rows + parameters["k_proj_weight"].shape[0]]
    value_dim = parameters["out_proj.weight"].shape[1] // num_heads
    head_dim = (parameters["in_proj_weight"].shape[0] - kv_heads * value_dim) // (num_heads + kv_heads)
    return [num_heads * head_dim, (num_heads + kv_heads) * head_dim]


def _projections(
    parameters: Parameters, num_heads: int, kv_heads: int
) -> tuple[list[Array], list[Array | None]]:
    """The weights W_q, W_k, W_v, W_o and the biases b_q, b_k, b_v, b_o."""
    ends = _rows(parameters, num_heads, kv_heads)
    if "in_proj_weight" in parameters:
        inputs = np.split(parameters["in_proj_weight"], ends)
    else:
        inputs = [parameters[f"{name}_proj_weight"] for name in "qkv"]
    weights = [*inputs, parameters["out_proj.weight"]]
    b_o = parameters.get("out_proj.bias")
    if "in_proj_bias" not in parameters:
        return weights, [None, None, None, b_o]
    return weights, [*np.split(parameters["in_proj_bias"], ends), b_o]


def projected_heads(
    x: Array, parameters: Parameters, num_heads: int, kv_heads: int
) -> tuple[Array, Array, Array]:
    """x (..., L, d) -> the heads q (..., H, L, D), k (..., Hkv, L, D), v (..., Hkv, L, Dv)."""
    (w_q, w_k, w_v, _), (b_q, b_k, b_v, _) = _projections(parameters, num_heads, kv_heads)
    q = split_heads(linear(x, w_q, b_q), num_heads)
    k, v = (split_heads(linear(x, w, b), kv_heads) for w, b in ((w_k, b_k), (w_v, b_v)))
    return q, k, v


def multi_head_layer(
    query: Array,
    key: Array,
    value: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
    num_kv_heads: int | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """multi_head with a layer's parameters -> out (..., L, d), weights (..., H, L, S)."""
    (w_q, w_k, w_v, w_o), (b_q, b_k, b_v, b_o) = _projections(
        parameters, num_heads, num_kv_heads or num_heads
    )
    return multi_head(
        query, key, value, w_q, w_k, w_v, w_o, b_q, b_k, b_v, b_o, num_heads, mask, bias, num_kv_heads, scale
    )


def multi_head_layer_gradients(
    d_out: Array,
    query: Array,
    key: Array,
    value: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
    num_kv_heads: int | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Array, Parameters, Array | None]:
    """-> d_query, d_key, d_value, the parameters' gradients by name, and d_bias, None where there is none."""
    (w_q, w_k, w_v, w_o), (b_q, b_k, b_v, b_o) = _projections(
        parameters, num_heads, num_kv_heads or num_heads
    )
    d_query, d_key, d_value, d_w_q, d_w_k, d_w_v, d_w_o, d_b_q, d_b_k, d_b_v, d_b_o, d_bias = (
        multi_head_backward(
            d_out,
            query,
            key,
            value,
            w_q,
            w_k,
            w_v,
            w_o,
            b_q,
            b_k,
            b_v,
            b_o,
            num_heads,
            mask,
            bias,
            None,
            num_kv_heads,
            scale,
        )
    )
    d_parameters: Parameters = {"out_proj.weight": d_w_o}
    if "in_proj_weight" in parameters:
        d_parameters["in_proj_weight"] = np.concatenate([d_w_q, d_w_k, d_w_v])
    else:
        d_parameters.update(q_proj_weight=d_w_q, k_proj_weight=d_w_k, v_proj_weight=d_w_v)
    if d_b_q is not None and d_b_k is not None and d_b_v is not None:
        d_parameters["in_proj_bias"] = np.concatenate([d_b_q, d_b_k, d_b_v])
    if d_b_o is not None:
        d_parameters["out_proj.bias"] = d_b_o
    return d_query, d_key, d_value, d_parameters, d_bias


def multi_head_layer_backward(
    d_out: Array,
    query: Array,
    key: Array,
    value: Array,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    bias: Array | None = None,
    num_kv_heads: int | None = None,
    scale: float | None = None,
) -> tuple[Array, Array, Array, Parameters]:
    """-> d_query, d_key, d_value and the gradients of the parameters by name."""
    return multi_head_layer_gradients(
        d_out, query, key, value, parameters, num_heads, mask, bias, num_kv_heads, scale
    )[:4]

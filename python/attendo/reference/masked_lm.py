"""masked_lm: a masked language model, from token ids, some of them hidden, to the logits of all

  forward    y      = text_encoder(ids)
             u      = gelu(W y + b)      v = norm(u)
             logits = v Eᵀ + c                              E: the embeddings of the encoder themselves
  backward   linear_backward, layer_norm_backward, gelu_backward, linear_backward, text_encoder_backward;
             E collects both of its gradients

ids: (B, L)  mask: (B, L), True = a real token  y, u, v: (B, L, d)  logits: (B, L, V)
Parameters: text.*, those of text_encoder; dense.(weight, bias), norm.(weight, bias), bias (V,).
Devlin et al. 2019, §3.1.
"""

from typing import Any

from ._types import Array, Ids, Mask, Parameters, prefixed, under
from .activations import gelu, gelu_backward
from .encoder_layer import norm, norm_backward
from .linear import linear, linear_backward
from .text_encoder import text_encoder, text_encoder_backward


def masked_lm(
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    eps: float = 1e-12,
    **options: Any,
) -> Array:
    """ids (B, L) -> logits (B, L, V); options are those of text_encoder."""
    y = text_encoder(ids, under(parameters, "text."), num_heads, mask, eps=eps, **options)
    u = gelu(linear(y, parameters["dense.weight"], parameters["dense.bias"]))
    v = norm(u, under(parameters, "norm."), eps)
    return linear(v, parameters["text.embedding.weight"], parameters["bias"])


def masked_lm_backward(
    d_logits: Array,
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    eps: float = 1e-12,
    **options: Any,
) -> Parameters:
    """d_logits (B, L, V) -> the gradients of the parameters by name."""
    text, of_norm = under(parameters, "text."), under(parameters, "norm.")
    y = text_encoder(ids, text, num_heads, mask, eps=eps, **options)
    h = linear(y, parameters["dense.weight"], parameters["dense.bias"])
    u = gelu(h)
    v = norm(u, of_norm, eps)

    d_v, d_table, d_bias = linear_backward(d_logits, v, text["embedding.weight"], parameters["bias"])
    d_u, d_norm = norm_backward(d_v, u, of_norm, eps)
    (d_h,) = gelu_backward(d_u, h)
    d_y, d_dense, d_dense_bias = linear_backward(d_h, y, parameters["dense.weight"], parameters["dense.bias"])
    assert d_bias is not None and d_dense_bias is not None
    d_text = text_encoder_backward(d_y, ids, text, num_heads, mask, eps=eps, **options)
    d_text["embedding.weight"] = d_text["embedding.weight"] + d_table
    return (
        prefixed(d_text, "text.")
        | prefixed(d_norm, "norm.")
        | {"dense.weight": d_dense, "dense.bias": d_dense_bias, "bias": d_bias}
    )

"""encoder_classifier: the class of a text

  forward    y = text_encoder(ids)      p = pool(y)      logits = W p + b
             first       p = pooler(y), or y_0 where there is no pooler
             mean        p = (1/n) Σ_t y_t over the n real tokens
             attention   p = Σ_t α_t y_t,  α = softmax of u·y_t / √d over the real tokens
  backward   linear_backward; dy_0 = dp or pooler_backward; dy_t = dp / n; that of attention with
             query u and keys and values y; then text_encoder_backward

ids: (B, L)  mask: (B, L), True = a real token  y: (B, L, d)  p: (B, d)  logits: (B, classes)
Parameters: text.*, those of text_encoder; classifier.(weight, bias); query (d,) = u for attention.
Devlin et al. 2019, §4.1; Yang et al. 2016, §2.2 (attention, here without the layer before it).
"""

from typing import Any

import numpy as np

from ._types import Array, Ids, Mask, Parameters, prefixed, under
from .linear import linear, linear_backward
from .scaled_dot_product import scaled_dot_product, scaled_dot_product_backward
from .text_encoder import pooler, pooler_backward, text_encoder, text_encoder_backward


def _shares(y: Array, mask: Mask | None) -> Array:
    """(B, L): 1/n at each of a row's n real tokens, 0 at padding."""
    real = np.ones(y.shape[:2], y.dtype) if mask is None else mask.astype(y.dtype)
    shares: Array = real / np.maximum(real.sum(axis=1, keepdims=True), 1)
    return shares


def _query(y: Array, parameters: Parameters) -> Array:
    """u for every text: (B, 1, d)."""
    return np.broadcast_to(parameters["query"], (y.shape[0], 1, y.shape[2]))


def pooled(y: Array, parameters: Parameters, pooling: str, mask: Mask | None = None) -> Array:
    """y (B, L, d) -> p (B, d)."""
    if pooling == "mean":
        mean: Array = np.einsum("bl,bld->bd", _shares(y, mask), y)
        return mean
    if pooling == "attention":
        keys = None if mask is None else mask[:, None, :]
        return scaled_dot_product(_query(y, parameters), y, y, keys)[0][:, 0]
    return pooler(y, under(parameters, "text.")) if "text.pooler.weight" in parameters else y[:, 0]


def pooled_backward(
    d_p: Array, y: Array, parameters: Parameters, pooling: str, mask: Mask | None = None
) -> tuple[Array, Parameters]:
    """d_p (B, d) -> d_y like y and the gradients of the parameters by name."""
    if pooling == "mean":
        return _shares(y, mask)[:, :, None] * d_p[:, None], {}
    if pooling == "attention":
        keys = None if mask is None else mask[:, None, :]
        d_query, d_keys, d_values, _ = scaled_dot_product_backward(
            d_p[:, None], _query(y, parameters), y, y, keys
        )
        return d_keys + d_values, {"query": d_query.sum(axis=(0, 1))}
    if "text.pooler.weight" in parameters:
        d_y, d_pooler = pooler_backward(d_p, y, under(parameters, "text."))
        return d_y, prefixed(d_pooler, "text.")
    d_y = np.zeros_like(y)
    d_y[:, 0] = d_p
    return d_y, {}


def encoder_classifier(
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    pooling: str = "first",
    mask: Mask | None = None,
    **options: Any,
) -> Array:
    """ids (B, L) -> logits (B, classes); options are those of text_encoder."""
    y = text_encoder(ids, under(parameters, "text."), num_heads, mask, **options)
    p = pooled(y, parameters, pooling, mask)
    return linear(p, parameters["classifier.weight"], parameters["classifier.bias"])


def encoder_classifier_backward(
    d_logits: Array,
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    pooling: str = "first",
    mask: Mask | None = None,
    **options: Any,
) -> Parameters:
    """d_logits (B, classes) -> the gradients of the parameters by name."""
    text = under(parameters, "text.")
    y = text_encoder(ids, text, num_heads, mask, **options)
    p = pooled(y, parameters, pooling, mask)

    d_p, d_weight, d_bias = linear_backward(
        d_logits, p, parameters["classifier.weight"], parameters["classifier.bias"]
    )
    assert d_bias is not None
    d_y, gradients = pooled_backward(d_p, y, parameters, pooling, mask)
    d_text = text_encoder_backward(d_y, ids, text, num_heads, mask, **options)
    gradients |= prefixed(d_text, "text.")
    return gradients | {"classifier.weight": d_weight, "classifier.bias": d_bias}

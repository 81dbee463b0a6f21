"""decoder_lm: a decoder-only language model, from token ids to the logits of the next tokens

  forward    x      = √d embedding(ids) + P         P: sinusoidal positions, or a learned table
             y      = encoder(x)                    causal: position t attends 0 … t
             logits = y Wᵀ + b                      tied: y Eᵀ, E the table of the embedding
  backward   the same path from the end: linear_backward, encoder_backward, √d embedding_backward;
             the table of positions collects d_x over the batch, a tied table both of its gradients

ids: (B, S)  x, y: (B, S, d)  logits: (B, S, V)
Parameters: embedding.weight (V, d), decoder.layers.i.*, with norm_first decoder.norm.*, for learned positions
position.weight (max_len, d), and unless tied generator.weight (V, d) and generator.bias (V,).
No dropout: this is the model in evaluation, or with dropout 0.
Radford et al. 2018; Vaswani et al. 2017, §3; tied weights: Press and Wolf 2017.
"""

import math

import numpy as np

from ._types import Array, Ids, Parameters, prefixed, under
from .embedding import embedding
from .encoder_layer import encoder, encoder_backward
from .linear import linear, linear_backward
from .transformer import causal_mask, embed, embed_backward


def embedded(ids: Ids, parameters: Parameters) -> Array:
    """ids (B, S) -> √d embedding + positions (B, S, d)."""
    table = parameters["embedding.weight"]
    if "position.weight" not in parameters:
        return embed(ids, table)
    x: Array = math.sqrt(table.shape[1]) * embedding(ids, table)
    return x + parameters["position.weight"][: ids.shape[1]]


def decoder_lm(
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Array:
    """ids (B, S) -> logits (B, S, V)."""
    x = embedded(ids, parameters)
    mask = causal_mask(ids.shape[1])
    y, _ = encoder(x, under(parameters, "decoder."), num_heads, mask, norm_first, activation, eps)
    if "generator.weight" not in parameters:
        return linear(y, parameters["embedding.weight"])
    return linear(y, parameters["generator.weight"], parameters["generator.bias"])


def decoder_lm_backward(
    d_logits: Array,
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Parameters:
    """d_logits (B, S, V) -> the gradients of the parameters by name."""
    table, layers = parameters["embedding.weight"], under(parameters, "decoder.")
    mask = causal_mask(ids.shape[1])
    x = embedded(ids, parameters)
    y, _ = encoder(x, layers, num_heads, mask, norm_first, activation, eps)

    tied = "generator.weight" not in parameters
    weight = table if tied else parameters["generator.weight"]
    d_y, d_weight, d_bias = linear_backward(d_logits, y, weight, parameters.get("generator.bias"))
    d_x, d_layers = encoder_backward(d_y, x, layers, num_heads, mask, norm_first, activation, eps)
    d_table = embed_backward(d_x, ids, table)

    gradients = prefixed(d_layers, "decoder.")
    if tied:
        gradients["embedding.weight"] = d_table + d_weight
    else:
        assert d_bias is not None
        gradients.update(
            {"embedding.weight": d_table, "generator.weight": d_weight, "generator.bias": d_bias}
        )
    if "position.weight" in parameters:
        gradients["position.weight"] = np.zeros_like(parameters["position.weight"])
        gradients["position.weight"][: ids.shape[1]] = d_x.sum(axis=0)
    return gradients

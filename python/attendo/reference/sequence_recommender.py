"""sequence_recommender: which item comes next, from those before it

  forward    x_t = √d E[item_t] + P_t
             y   = encoder(x)                causal: position t attends 0 … t
             logits_t,i = y_t · E_i
  backward   dy = dlogits E     then encoder_backward, and E collects the gradients of logits and of x

items: (B, L), 0 for padding  x, y: (B, L, d)  E: (n + 1, d)  P: (max_len, d)  logits: (B, L, n + 1)
Parameters: embedding.weight (E), position.weight (P), encoder.*.
Padding, wherever it stands, is as if it were not there: t counts items; its own logits are 0.
Row 0 of E takes part in the logits alone.  No dropout.
Kang and McAuley 2018, §III; article 004 §6.
"""

import math

import numpy as np

from ._tokens import put_back, put_back_backward, without_padding
from ._types import Array, Ids, Parameters, prefixed, under
from .embedding import embedding, embedding_backward
from .encoder_layer import encoder, encoder_backward
from .linear import linear, linear_backward
from .transformer import causal_mask


def _embedded(ids: Ids, parameters: Parameters) -> Array:
    """ids (B, n), items before padding -> x (B, n, d)."""
    table = parameters["embedding.weight"]
    x: Array = math.sqrt(table.shape[1]) * embedding(ids, table)
    return x + parameters["position.weight"][: ids.shape[1]]


def sequence_recommender(
    items: Ids, parameters: Parameters, num_heads: int, norm_first: bool = True, activation: str = "relu"
) -> Array:
    """items (B, L) -> logits (B, L, n + 1)."""
    ids, _ = without_padding(items, 0)
    x, layers = _embedded(ids, parameters), under(parameters, "encoder.")
    y, _ = encoder(x, layers, num_heads, causal_mask(ids.shape[1]), norm_first, activation)
    return linear(put_back(y, items, 0), parameters["embedding.weight"])


def sequence_recommender_backward(
    d_logits: Array,
    items: Ids,
    parameters: Parameters,
    num_heads: int,
    norm_first: bool = True,
    activation: str = "relu",
) -> Parameters:
    """d_logits (B, L, n + 1) -> the gradients of the parameters by name."""
    ids, _ = without_padding(items, 0)
    x, layers, mask = _embedded(ids, parameters), under(parameters, "encoder."), causal_mask(ids.shape[1])
    table = parameters["embedding.weight"]
    y, _ = encoder(x, layers, num_heads, mask, norm_first, activation)
    d_put, d_table, _ = linear_backward(d_logits, put_back(y, items, 0), table)
    d_y = put_back_backward(d_put, items, 0)
    d_x, d_layers = encoder_backward(d_y, x, layers, num_heads, mask, norm_first, activation)
    (d_embedding,) = embedding_backward(math.sqrt(table.shape[1]) * d_x, ids, table)
    d_position: Array = np.zeros_like(parameters["position.weight"])
    d_position[: ids.shape[1]] = d_x.sum(axis=0)
    return {
        "embedding.weight": d_table + d_embedding,
        "position.weight": d_position,
        **prefixed(d_layers, "encoder."),
    }

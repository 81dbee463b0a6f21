"""text_encoder: the trunk of BERT, from token ids to a vector for each token

  forward    x = norm(E[ids] + P[positions] + T[types])
             y = encoder(x), attention to all real tokens;  y = 0 at padding
             pooled = f(W y_0 + b)                              f: tanh, relu
  backward   the same path from the end: encoder_backward with dy = 0 at padding, layer_norm_backward,
             embedding_backward for each table

ids, types: (B, L)  mask: (B, L), True = a real token  x, y: (B, L, d)  pooled: (B, d)
positions: 0 … L - 1 in each row; with pad_id (RoBERTa) pad_id for the ids that are pad_id, the others counted
from pad_id + 1 on.
Parameters: embedding.weight (V, d), position.weight (max_len, d), norm.(weight, bias), encoder.layers.i.*,
with norm_first encoder.norm.*; if they are there token_type.weight (types, d), pooler.(weight, bias).
No dropout: this is the model in evaluation, or with dropout 0.
Devlin et al. 2019, §3; Liu et al. 2019 (positions).
"""

import numpy as np

from ._types import Array, Ids, Mask, Parameters, prefixed, under
from .activations import relu, relu_backward, tanh, tanh_backward
from .embedding import embedding, embedding_backward
from .encoder_layer import encoder, encoder_backward, norm, norm_backward
from .linear import linear, linear_backward


def positions_of(ids: Ids, pad_id: int | None = None) -> Ids:
    """ids (B, L) -> the position of each (B, L)."""
    if pad_id is None:
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    real = ids != pad_id
    positions: Ids = np.where(real, pad_id + np.cumsum(real, axis=1), pad_id)
    return positions


def _embedded(ids: Ids, parameters: Parameters, types: Ids | None, pad_id: int | None) -> Array:
    x: Array = embedding(ids, parameters["embedding.weight"])
    x = x + embedding(positions_of(ids, pad_id), parameters["position.weight"])
    if "token_type.weight" in parameters:
        x = x + embedding(np.zeros_like(ids) if types is None else types, parameters["token_type.weight"])
    return x


def text_encoder(
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    types: Ids | None = None,
    pad_id: int | None = None,
    norm_first: bool = False,
    activation: str = "gelu",
    eps: float = 1e-12,
) -> Array:
    """ids (B, L) -> y (B, L, d)."""
    x = norm(_embedded(ids, parameters, types, pad_id), under(parameters, "norm."), eps)
    keys = None if mask is None else mask[:, None, None, :]
    y, _ = encoder(x, under(parameters, "encoder."), num_heads, keys, norm_first, activation, eps)
    return y if mask is None else np.where(mask[:, :, None], y, np.zeros_like(y))


def text_encoder_backward(
    d_y: Array,
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    mask: Mask | None = None,
    types: Ids | None = None,
    pad_id: int | None = None,
    norm_first: bool = False,
    activation: str = "gelu",
    eps: float = 1e-12,
) -> Parameters:
    """d_y (B, L, d) -> the gradients of the parameters by name, those of a pooler left out."""
    keys = None
    if mask is not None:
        keys, d_y = mask[:, None, None, :], np.where(mask[:, :, None], d_y, np.zeros_like(d_y))
    of_norm, layers = under(parameters, "norm."), under(parameters, "encoder.")
    embedded = _embedded(ids, parameters, types, pad_id)
    x = norm(embedded, of_norm, eps)

    d_x, d_layers = encoder_backward(d_y, x, layers, num_heads, keys, norm_first, activation, eps)
    d_embedded, d_norm = norm_backward(d_x, embedded, of_norm, eps)
    gradients = prefixed(d_layers, "encoder.") | prefixed(d_norm, "norm.")
    tables = {"embedding": ids, "position": positions_of(ids, pad_id)}
    if "token_type.weight" in parameters:
        tables["token_type"] = np.zeros_like(ids) if types is None else types
    for name, at in tables.items():
        (gradients[f"{name}.weight"],) = embedding_backward(d_embedded, at, parameters[f"{name}.weight"])
    return gradients


def pooler(y: Array, parameters: Parameters, activation: str = "tanh") -> Array:
    """y (B, L, d) -> (B, d), from the first token."""
    h = linear(y[:, 0], parameters["pooler.weight"], parameters["pooler.bias"])
    return relu(h) if activation == "relu" else tanh(h)


def pooler_backward(
    d_pooled: Array, y: Array, parameters: Parameters, activation: str = "tanh"
) -> tuple[Array, Parameters]:
    """d_pooled (B, d) -> d_y like y and the gradients of the parameters by name."""
    weight, bias = parameters["pooler.weight"], parameters["pooler.bias"]
    h = linear(y[:, 0], weight, bias)
    (d_h,) = relu_backward(d_pooled, h) if activation == "relu" else tanh_backward(d_pooled, h)
    d_first, d_weight, d_bias = linear_backward(d_h, y[:, 0], weight, bias)
    assert d_bias is not None
    d_y: Array = np.zeros_like(y)
    d_y[:, 0] = d_first
    return d_y, {"pooler.weight": d_weight, "pooler.bias": d_bias}

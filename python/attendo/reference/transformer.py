"""transformer: the encoder-decoder model, from token ids to logits

  forward    x_src  = √d embedding(src_ids) + PE               sinusoidal positions
             memory = encoder(x_src)                           padding is attended by none
             x_tgt  = √d embedding(tgt_ids) + PE
             y      = decoder(x_tgt, memory)                   causal: target position t attends 0 … t
             logits = y W_gᵀ + b_g                             the generator; softmax belongs to the loss
  backward   the same path from the end: linear_backward, decoder_backward, encoder_backward(dmemory),
             and √d embedding_backward for each table

src_ids: (B, S)  tgt_ids: (B, T)  memory: (B, S, d)  logits: (B, T, V)
Parameters: src_embedding.weight (V_src, d), tgt_embedding.weight (V, d), encoder.layers.i.*,
decoder.layers.i.*, generator.weight (V, d), generator.bias (V,), and with norm_first
encoder.norm.*, decoder.norm.*.
Source tokens equal to pad_id are masked as keys.  Target padding needs no mask: it comes last, and no causal
position before it sees it.  No dropout: this is the model in evaluation, or with dropout 0.
Vaswani et al. 2017, §3; article 002 §5.2 (corrected: embedded inputs, stacked layers, no softmax at the end).
"""

import math

import numpy as np

from ._types import Array, Ids, Mask, Parameters, prefixed, under
from .decoder_layer import decoder, decoder_backward
from .embedding import embedding, embedding_backward
from .encoder_layer import encoder, encoder_backward
from .linear import linear, linear_backward
from .positional_encoding import positional_encoding, sinusoidal_positional_encoding


def causal_mask(length: int) -> Mask:
    """(T, T): position t may attend positions 0 … t."""
    mask: Mask = np.tril(np.ones((length, length), dtype=bool))
    return mask


def padding_mask(ids: Ids, pad_id: int) -> Mask:
    """ids (B, S) -> (B, 1, 1, S): a token that is not padding may be attended, by every head and query."""
    mask: Mask = np.asarray(ids != pad_id)[:, None, None, :]
    return mask


def embed(ids: Ids, weight: Array) -> Array:
    """ids (B, L), weight (V, d) -> √d embedding + positions (B, L, d)."""
    d_model = weight.shape[1]
    x = math.sqrt(d_model) * embedding(ids, weight)
    return positional_encoding(x, sinusoidal_positional_encoding(ids.shape[1], d_model))


def embed_backward(d_x: Array, ids: Ids, weight: Array) -> Array:
    """d_x (B, L, d) -> d_weight (V, d)."""
    (d_weight,) = embedding_backward(math.sqrt(weight.shape[1]) * d_x, ids, weight)
    return d_weight


def transformer_steps(
    src_ids: Ids,
    tgt_ids: Ids,
    parameters: Parameters,
    num_heads: int,
    pad_id: int = 0,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
) -> dict[str, Array]:
    """Every intermediate by name.

    src (B, S, d), memory (B, S, d), tgt (B, T, d), decoded (B, T, d), logits (B, T, V), and the attention
    weights of all layers: encoder_attention (layers, B, H, S, S), decoder_attention (layers, B, H, T, T),
    cross_attention (layers, B, H, T, S).
    """
    src_mask, tgt_mask = padding_mask(src_ids, pad_id), causal_mask(tgt_ids.shape[1])
    src = embed(src_ids, parameters["src_embedding.weight"])
    memory, encoder_attention = encoder(
        src, under(parameters, "encoder."), num_heads, src_mask, norm_first, activation, eps
    )
    tgt = embed(tgt_ids, parameters["tgt_embedding.weight"])
    decoded, decoder_attention, cross_attention = decoder(
        tgt, memory, under(parameters, "decoder."), num_heads, tgt_mask, src_mask, norm_first, activation, eps
    )
    logits = linear(decoded, parameters["generator.weight"], parameters["generator.bias"])
    return {
        "src": src,
        "memory": memory,
        "tgt": tgt,
        "decoded": decoded,
        "logits": logits,
        "encoder_attention": np.array(encoder_attention),
        "decoder_attention": np.array(decoder_attention),
        "cross_attention": np.array(cross_attention),
    }


def transformer(
    src_ids: Ids,
    tgt_ids: Ids,
    parameters: Parameters,
    num_heads: int,
    pad_id: int = 0,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Array:
    """src_ids (B, S), tgt_ids (B, T) -> logits (B, T, V)."""
    steps = transformer_steps(src_ids, tgt_ids, parameters, num_heads, pad_id, norm_first, activation, eps)
    return steps["logits"]


def transformer_backward(
    d_logits: Array,
    src_ids: Ids,
    tgt_ids: Ids,
    parameters: Parameters,
    num_heads: int,
    pad_id: int = 0,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Parameters:
    """d_logits (B, T, V) -> the gradients of the parameters by name."""
    src_mask, tgt_mask = padding_mask(src_ids, pad_id), causal_mask(tgt_ids.shape[1])
    steps = transformer_steps(src_ids, tgt_ids, parameters, num_heads, pad_id, norm_first, activation, eps)

    d_decoded, d_weight, d_bias = linear_backward(
        d_logits, steps["decoded"], parameters["generator.weight"], parameters["generator.bias"]
    )
    assert d_bias is not None
    d_tgt, d_memory, d_decoder = decoder_backward(
        d_decoded,
        steps["tgt"],
        steps["memory"],
        under(parameters, "decoder."),
        num_heads,
        tgt_mask,
        src_mask,
        norm_first,
        activation,
        eps,
    )
    d_src, d_encoder = encoder_backward(
        d_memory,
        steps["src"],
        under(parameters, "encoder."),
        num_heads,
        src_mask,
        norm_first,
        activation,
        eps,
    )
    return {
        "src_embedding.weight": embed_backward(d_src, src_ids, parameters["src_embedding.weight"]),
        "tgt_embedding.weight": embed_backward(d_tgt, tgt_ids, parameters["tgt_embedding.weight"]),
        "generator.weight": d_weight,
        "generator.bias": d_bias,
        **prefixed(d_encoder, "encoder."),
        **prefixed(d_decoder, "decoder."),
    }

"""transformer: the encoder-decoder model, from token ids to logits

  forward    x_src  = √d embedding(src_ids) + PE               sinusoidal positions
             memory = encoder(x_src)                           padding is attended by none
             x_tgt  = √d embedding(tgt_ids) + PE
             y      = decoder(x_tgt, memory)                   causal: target position t attends 0 … t
             logits = y W_gᵀ + b_g                             the generator; softmax belongs to the loss
  backward   the same path from the end: linear_backward, decoder_backward, encoder_backward(dmemory),
             and √d embedding_backward for each table; a table that is used twice adds both of its gradients

  T5         no √d, no PE; all layers of a stack add t5_bias(its table) to the scores of self-attention
             logits = y W_gᵀ / √d

src_ids: (B, S)  tgt_ids: (B, T)  memory: (B, S, d)  logits: (B, T, V)
Parameters: src_embedding.weight (V_src, d), tgt_embedding.weight (V, d), encoder.layers.i.*,
decoder.layers.i.*, generator.weight (V, d), generator.bias (V,), and with norm_first
encoder.norm.*, decoder.norm.*.
By what there is: embedding.weight (V, d) in place of the two; without generator.weight W_g is the target's
embedding, and b_g logits_bias (V,), if any; src_position.weight and tgt_position.weight (max_len, d) are PE;
src_relative_bias (buckets, H) and tgt_relative_bias are the tables of t5_bias.
Source tokens equal to pad_id are masked as keys.  Target padding needs no mask: it comes last, and no causal
position before it sees it.  No dropout: this is the model in evaluation, or with dropout 0.
Vaswani et al. 2017, §3; Raffel et al. 2020; article 002 §5.2 (corrected: embedded inputs, stacked layers, no
softmax at the end).
"""

import math
from typing import NamedTuple

import numpy as np

from ._types import Array, Ids, Mask, Parameters, prefixed, under
from .decoder_layer import decoder, decoder_backward
from .embedding import embedding, embedding_backward
from .encoder_layer import encoder, encoder_backward
from .linear import linear, linear_backward
from .positional_encoding import (
    positional_encoding,
    positional_encoding_backward,
    sinusoidal_positional_encoding,
)
from .t5_bias import t5_bias, t5_bias_backward


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


class TransformerVariant(NamedTuple):
    """What the parameters do not tell of a model that is not the paper's."""

    decoder_heads: int | None = None  # as many as in the encoder
    positions: str = "sinusoidal"  # or "sinusoidal_halves", "none"; tables of parameters go before
    max_distance: int = 128
    attention_scale: float | None = None
    scale_embeddings: bool = True
    scale_logits: bool = False
    src_mask: Mask | None = None  # (B, S), in place of what is not pad_id


PAPER = TransformerVariant()


def _table(parameters: Parameters, side: str) -> str:
    return "embedding.weight" if "embedding.weight" in parameters else f"{side}_embedding.weight"


def _positions(
    length: int, d_model: int, parameters: Parameters, side: str, variant: TransformerVariant
) -> Array:
    if f"{side}_position.weight" in parameters:
        return parameters[f"{side}_position.weight"]
    if variant.positions == "none" or f"{side}_relative_bias" in parameters:
        return np.zeros((length, d_model))
    return sinusoidal_positional_encoding(length, d_model, variant.positions == "sinusoidal_halves")


def embed_side(ids: Ids, parameters: Parameters, side: str, variant: TransformerVariant) -> Array:
    """ids (B, L) -> what goes into the stack (B, L, d); side is "src" or "tgt"."""
    table = parameters[_table(parameters, side)]
    d_model = table.shape[1]
    x = embedding(ids, table)
    if variant.scale_embeddings:
        x = math.sqrt(d_model) * x
    return positional_encoding(x, _positions(ids.shape[1], d_model, parameters, side, variant))


def embed_side_backward(
    d_x: Array, ids: Ids, parameters: Parameters, side: str, variant: TransformerVariant
) -> Parameters:
    """d_x (B, L, d) -> the gradients of the tables by name."""
    name = _table(parameters, side)
    table, gradients = parameters[name], {}
    if f"{side}_position.weight" in parameters:
        position = parameters[f"{side}_position.weight"]
        _, gradients[f"{side}_position.weight"] = positional_encoding_backward(d_x, d_x, position)
    size = math.sqrt(table.shape[1]) if variant.scale_embeddings else 1.0
    (gradients[name],) = embedding_backward(size * d_x, ids, table)
    return gradients


def _bias(length: int, parameters: Parameters, side: str, variant: TransformerVariant) -> Array | None:
    """(H, L, L), what is added to the scores."""
    if f"{side}_relative_bias" not in parameters:
        return None
    table = parameters[f"{side}_relative_bias"]
    return t5_bias(table, length, bidirectional=side == "src", max_distance=variant.max_distance)


def _head(parameters: Parameters) -> tuple[str, str]:
    """The names of W_g and b_g."""
    if "generator.weight" in parameters:
        return "generator.weight", "generator.bias"
    return _table(parameters, "tgt"), "logits_bias"


def transformer_steps(
    src_ids: Ids,
    tgt_ids: Ids,
    parameters: Parameters,
    num_heads: int,
    pad_id: int = 0,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
    variant: TransformerVariant = PAPER,
) -> dict[str, Array]:
    """Every intermediate by name.

    src (B, S, d), memory (B, S, d), tgt (B, T, d), decoded (B, T, d), logits (B, T, V), and the attention
    weights of all layers: encoder_attention (layers, B, H, S, S), decoder_attention (layers, B, H, T, T),
    cross_attention (layers, B, H, T, S).
    """
    v, tgt_mask = variant, causal_mask(tgt_ids.shape[1])
    src_mask = padding_mask(src_ids, pad_id) if v.src_mask is None else v.src_mask[:, None, None, :]
    src = embed_side(src_ids, parameters, "src", v)
    src_bias = _bias(src_ids.shape[1], parameters, "src", v)
    memory, encoder_attention = encoder(
        src, under(parameters, "encoder."), num_heads, src_mask, norm_first, activation, eps,
        src_bias, v.attention_scale,
    )  # fmt: skip
    tgt = embed_side(tgt_ids, parameters, "tgt", v)
    tgt_bias = _bias(tgt_ids.shape[1], parameters, "tgt", v)
    decoded, decoder_attention, cross_attention = decoder(
        tgt, memory, under(parameters, "decoder."), v.decoder_heads or num_heads, tgt_mask, src_mask,
        norm_first, activation, eps, tgt_bias, v.attention_scale,
    )  # fmt: skip
    weight, bias = _head(parameters)
    y = decoded / math.sqrt(decoded.shape[-1]) if v.scale_logits else decoded
    logits = linear(y, parameters[weight], parameters.get(bias))
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
    variant: TransformerVariant = PAPER,
) -> Array:
    """src_ids (B, S), tgt_ids (B, T) -> logits (B, T, V)."""
    steps = transformer_steps(
        src_ids, tgt_ids, parameters, num_heads, pad_id, norm_first, activation, eps, variant
    )
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
    variant: TransformerVariant = PAPER,
) -> Parameters:
    """d_logits (B, T, V) -> the gradients of the parameters by name."""
    v, tgt_mask = variant, causal_mask(tgt_ids.shape[1])
    src_mask = padding_mask(src_ids, pad_id) if v.src_mask is None else v.src_mask[:, None, None, :]
    src_bias, tgt_bias = (
        _bias(ids.shape[1], parameters, side, v) for ids, side in ((src_ids, "src"), (tgt_ids, "tgt"))
    )
    steps = transformer_steps(
        src_ids, tgt_ids, parameters, num_heads, pad_id, norm_first, activation, eps, variant
    )

    weight, bias = _head(parameters)
    size = 1 / math.sqrt(steps["decoded"].shape[-1]) if v.scale_logits else 1.0
    d_y, d_weight, d_bias = linear_backward(
        d_logits, size * steps["decoded"], parameters[weight], parameters.get(bias)
    )
    d_tgt, d_memory, d_decoder = decoder_backward(
        size * d_y, steps["tgt"], steps["memory"], under(parameters, "decoder."),
        v.decoder_heads or num_heads, tgt_mask, src_mask, norm_first, activation, eps, tgt_bias,
        v.attention_scale,
    )  # fmt: skip
    d_src, d_encoder = encoder_backward(
        d_memory, steps["src"], under(parameters, "encoder."), num_heads, src_mask, norm_first, activation,
        eps, src_bias, v.attention_scale,
    )  # fmt: skip

    gradients: Parameters = {weight: d_weight}
    if d_bias is not None:
        gradients[bias] = d_bias
    sides = (("src", src_ids, d_src, d_encoder, src_bias), ("tgt", tgt_ids, d_tgt, d_decoder, tgt_bias))
    for side, ids, d_x, d_stack, scores in sides:
        for name, d_table in embed_side_backward(d_x, ids, parameters, side, v).items():
            gradients[name] = gradients[name] + d_table if name in gradients else d_table
        if scores is not None:
            (gradients[f"{side}_relative_bias"],) = t5_bias_backward(
                d_stack.pop("bias", np.zeros_like(scores)), parameters[f"{side}_relative_bias"], ids.shape[1],
                bidirectional=side == "src", max_distance=v.max_distance,
            )  # fmt: skip
    return {**gradients, **prefixed(d_encoder, "encoder."), **prefixed(d_decoder, "decoder.")}

"""transformer_xl: a language model that remembers the segments before, forward

  h_0 = √d E[ids]                              no positions: attention counts distances
  m_n' = the last M rows of [m_n, h_{n-1}]     the memory that layer n leaves
  post-norm   a = norm1(h + attention(h, [m, h]))            h' = norm2(a + feed_forward(a))
  pre-norm    a = h + attention(norm1(h), norm1([m, h]))     h' = a + feed_forward(norm2(a))
  logits = h_N Wᵀ + b,  tied: h_N Eᵀ           pre-norm: after a last norm

ids: (B, L)  h: (B, L, d)  m: (B, M, d).  attention: causal, by distance, see transformer_xl_attention.
Dai et al. 2019, eq. on p. 5; article 002 §7.3.
"""

import math

import numpy as np

from ._types import Array, Ids, Mask, Parameters, count_layers, under
from .embedding import embedding
from .encoder_layer import norm
from .feed_forward import feed_forward_layer
from .linear import linear
from .segment_recurrence import segment_recurrence
from .transformer_xl_attention import transformer_xl_layer


def causal(length: int, keys: int) -> Mask:
    """Query i stands at position keys - length + i. (L, M + L)"""
    seen: Mask = np.arange(keys) <= np.arange(length)[:, None] + keys - length
    return seen


def transformer_xl(
    ids: Ids,
    parameters: Parameters,
    num_heads: int,
    memory_length: int,
    memory: list[Array] | None = None,
    norm_first: bool = False,
    activation: str = "relu",
    eps: float = 1e-5,
) -> tuple[Array, list[Array]]:
    """ids (B, L) -> logits (B, L, V) and the memory of the next segment."""
    table = parameters["embedding.weight"]
    h: Array = math.sqrt(table.shape[1]) * embedding(ids, table)
    left = []
    for i in range(count_layers(parameters)):
        p = under(parameters, f"layers.{i}.")
        m = None if memory is None else memory[i]
        seen, remembered = segment_recurrence(h, m, memory_length)
        left.append(remembered)
        norm1, norm2 = under(p, "norm1."), under(p, "norm2.")
        attention, mask = under(p, "self_attn."), causal(ids.shape[1], seen.shape[1])
        if norm_first:
            before = None if m is None else norm(m, norm1, eps)
            out, _ = transformer_xl_layer(norm(h, norm1, eps), before, attention, num_heads, mask)
            a: Array = h + out
            h = a + feed_forward_layer(norm(a, norm2, eps), under(p, "feed_forward."), activation)
        else:
            out, _ = transformer_xl_layer(h, m, attention, num_heads, mask)
            a = norm(h + out, norm1, eps)
            h = norm(a + feed_forward_layer(a, under(p, "feed_forward."), activation), norm2, eps)
    if norm_first:
        h = norm(h, under(parameters, "norm."), eps)
    if "generator.weight" not in parameters:
        return linear(h, table), left
    return linear(h, parameters["generator.weight"], parameters["generator.bias"]), left

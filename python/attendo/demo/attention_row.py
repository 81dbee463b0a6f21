"""One row of the cross-attention, recomputed from the trained parameters by the formulas of the reference.

What the report shows step by step is computed here a second time, in float64 NumPy, and must agree with what
the model says it attended to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..reference._types import Parameters, under
from ..reference.encoder_layer import norm
from ..reference.linear import linear
from ..reference.multi_head import multi_head_layer, split_heads
from ..reference.scaled_dot_product import scaled_dot_product_steps
from ..reference.transformer import causal_mask, embed, padding_mask
from .vocabulary import PAD, Ids

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-4  # float32 training against float64 recomputation


@dataclass(frozen=True)
class AttentionRow:
    """Every number of one query of one head in the decoder's first cross-attention."""

    head: int
    position: int  # of the query among the produced characters
    q: Floats  # (D,)
    k: Floats  # (S, D)
    v: Floats  # (S, D)
    scores: Floats  # (S,)  q·k
    scaled: Floats  # (S,)  scores / √D
    maximum: float
    exponentials: Floats  # (S,)  exp(scaled - maximum)
    total: float
    weights: Floats  # (S,)
    out: Floats  # (D,)
    difference: float  # the largest, over all rows and heads, from the model's own weights


def cross_attention_inputs(model: Any, src: Ids, tgt: Ids, num_heads: int) -> tuple[Floats, Floats, Floats]:
    """q (B, H, T, D), k and v (B, H, S, D) of the decoder's first cross-attention, for a post-norm model."""
    state = model.state_dict()
    parameters: Parameters = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
    layer = under(parameters, "decoder.layers.0.")
    encoded = model.encode(src)
    memory = np.asarray(encoded[0] if isinstance(encoded, tuple) else encoded, dtype=np.float64)  # (B, S, d)

    x = embed(tgt, parameters["tgt_embedding.weight"])  # (B, T, d)
    attended, _ = multi_head_layer(x, x, x, under(layer, "self_attn."), num_heads, causal_mask(tgt.shape[1]))
    x = norm(x + attended, under(layer, "norm1."), 1e-5)

    cross = under(layer, "cross_attn.")
    weights = np.split(cross["in_proj_weight"], 3)
    biases = np.split(cross["in_proj_bias"], 3)
    q, k, v = (
        np.asarray(split_heads(linear(source, weight, bias), num_heads), dtype=np.float64)
        for source, weight, bias in zip((x, memory, memory), weights, biases, strict=True)
    )
    return q, k, v


def attention_row(
    model: Any, src: Ids, tgt: Ids, num_heads: int, position: int, head: int | None = None
) -> AttentionRow:
    """The row of one example: src (1, S), tgt (1, T), the query at `position`.

    Without `head`, the head whose row is the most certain. The weights must agree with
    ``model.cross_attention``.

    Raises
    ------
    RuntimeError
        The recomputed weights of any row or head differ from the model's by more than `TOLERANCE`.
    """
    src = src[:, np.any(src != PAD, axis=0)]
    q, k, v = cross_attention_inputs(model, src, tgt, num_heads)
    steps = scaled_dot_product_steps(q, k, v, padding_mask(src, PAD))
    reported = np.asarray(model.cross_attention(src, tgt))[0]  # (B, H, T, S) of the first layer
    difference = float(np.max(np.abs(steps["weights"] - reported)))
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"the cross-attention recomputed in NumPy differs from the model's by {difference:.2g}, more "
            f"than {TOLERANCE:g}"
        )
    if head is None:
        head = int(np.argmax(steps["weights"][0, :, position].max(axis=-1)))

    def row(name: str) -> Floats:
        return np.asarray(steps[name][0, head, position], dtype=np.float64)

    return AttentionRow(
        head=head,
        position=position,
        q=q[0, head, position],
        k=k[0, head],
        v=v[0, head],
        scores=row("scores"),
        scaled=row("scaled"),
        maximum=float(steps["row_max"][0, head, position, 0]),
        exponentials=row("exponentials"),
        total=float(steps["row_sum"][0, head, position, 0]),
        weights=row("weights"),
        out=np.asarray(steps["out"][0, head, position], dtype=np.float64),
        difference=difference,
    )

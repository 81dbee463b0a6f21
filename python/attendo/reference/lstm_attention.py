"""lstm_attention: a text classifier, an LSTM and then attention over time

  forward    h = lstm(E[ids])                 stacked, in one direction or both
             c, α = additive_pooling(h)       over the tokens
             logits = W_fc c + b_fc
  backward   the same path from the end: that of linear, additive_pooling, the LSTM and the embedding

ids: (B, L)  h: (B, L, M)  α = weights: (B, L)  c: (B, M)  logits: (B, classes)
Parameters: embedding.weight, lstm.*_l0 …, attention.(context, hidden.weight, hidden.bias), fc.(weight, bias).
With lengths the first tokens of each row count; else padding, wherever it stands, is as if it were not there.
No dropout: this is the model in evaluation, or with dropout 0.
Yang et al. 2016, §2.2; Bahdanau et al. 2015, §A.1.2; article 004 §5.3.2 (corrected: one answer a text, and no
attention to padding).
"""

import numpy as np

from ._tokens import before_end, put_back, without_padding
from ._types import Array, Ids, Parameters, prefixed, under
from .additive_pooling import additive_pooling, additive_pooling_backward
from .embedding import embedding, embedding_backward
from .linear import linear, linear_backward
from .recurrent import recurrent, recurrent_backward


def lstm_attention_steps(
    ids: Ids, parameters: Parameters, lengths: Ids | None = None, pad_id: int = 0
) -> dict[str, Array]:
    """Every intermediate by name.

    Of the n tokens in the longest row: embedded (B, n, E), states (B, n, M). And weights (B, L),
    context (B, M), logits (B, classes).
    """
    tokens, ends = without_padding(ids, pad_id) if lengths is None else (ids, np.asarray(lengths))
    embedded = embedding(tokens, parameters["embedding.weight"])
    states, _ = recurrent(embedded, under(parameters, "lstm."), None, ends)
    context, alpha = additive_pooling(states, under(parameters, "attention."), before_end(tokens, ends))
    return {
        "embedded": embedded,
        "states": states,
        "weights": alpha if lengths is not None else put_back(alpha[..., None], ids, pad_id)[..., 0],
        "context": context,
        "logits": linear(context, parameters["fc.weight"], parameters["fc.bias"]),
    }


def lstm_attention(ids: Ids, parameters: Parameters, lengths: Ids | None = None, pad_id: int = 0) -> Array:
    """ids (B, L) -> logits (B, classes)."""
    return lstm_attention_steps(ids, parameters, lengths, pad_id)["logits"]


def lstm_attention_backward(
    d_logits: Array, ids: Ids, parameters: Parameters, lengths: Ids | None = None, pad_id: int = 0
) -> Parameters:
    """d_logits (B, classes) -> the gradients of the parameters by name."""
    steps = lstm_attention_steps(ids, parameters, lengths, pad_id)
    d_context, d_fc, d_fc_bias = linear_backward(
        d_logits, steps["context"], parameters["fc.weight"], parameters["fc.bias"]
    )
    assert d_fc_bias is not None
    tokens, ends = without_padding(ids, pad_id) if lengths is None else (ids, np.asarray(lengths))
    d_states, d_attention = additive_pooling_backward(
        d_context, steps["states"], under(parameters, "attention."), before_end(tokens, ends)
    )
    d_embedded, _, d_lstm = recurrent_backward(
        d_states, None, steps["embedded"], under(parameters, "lstm."), None, ends
    )
    (d_table,) = embedding_backward(d_embedded, tokens, parameters["embedding.weight"])
    d_table[pad_id] = 0  # the row of padding has no gradient
    return {
        "embedding.weight": d_table,
        "fc.weight": d_fc,
        "fc.bias": d_fc_bias,
        **prefixed(d_attention, "attention."),
        **prefixed(d_lstm, "lstm."),
    }

"""lstm_attention: a text classifier, an LSTM and then attention over time

  forward    h = lstm(E[ids])                                  stacked, in one direction or both
             s_t = v_a·tanh(W h_t + b)     α = softmax over the tokens of s     c = Σ_t α_t h_t
             logits = W_fc c + b_fc
  backward   dα_t = dc·h_t     ds_t = α_t (dα_t - Σ_j α_j dα_j)     with y = tanh(W h + b): dv_a = Σ ds_t y_t
             dh_t = α_t dc + Wᵀ (ds_t v_a ∘ (1 - y_t²)), then that of the LSTM and the embedding

ids: (B, L)  h: (B, L, M)  α = weights: (B, L)  c: (B, M)  logits: (B, classes)
Parameters: embedding.weight, lstm.*_l0 …, attention.(weight, bias), v_a, fc.(weight, bias).
With lengths the first tokens of each row count; else padding, wherever it stands, is as if it were not there.
No dropout: this is the model in evaluation, or with dropout 0.
Yang et al. 2016, §2.2; Bahdanau et al. 2015, §A.1.2; article 004 §5.3.2 (corrected: one answer a text, and no
attention to padding).
"""

import numpy as np

from ._tokens import before_end, put_back, without_padding
from ._types import Array, Ids, Parameters, prefixed, under
from .embedding import embedding, embedding_backward
from .linear import linear, linear_backward
from .recurrent import recurrent, recurrent_backward
from .softmax import softmax


def lstm_attention_steps(
    ids: Ids, parameters: Parameters, lengths: Ids | None = None, pad_id: int = 0
) -> dict[str, Array]:
    """Every intermediate by name.

    Of the n tokens in the longest row: embedded (B, n, E), states (B, n, M), hidden (B, n, A), alpha (B, n);
    and weights (B, L), context (B, M), logits (B, classes).
    """
    tokens, ends = without_padding(ids, pad_id) if lengths is None else (ids, np.asarray(lengths))
    embedded = embedding(tokens, parameters["embedding.weight"])
    states, _ = recurrent(embedded, under(parameters, "lstm."), None, ends)
    hidden: Array = np.tanh(linear(states, parameters["attention.weight"], parameters["attention.bias"]))
    alpha = softmax(np.where(before_end(tokens, ends), hidden @ parameters["v_a"], -np.inf))
    context: Array = np.sum(alpha[..., None] * states, axis=1)
    return {
        "embedded": embedded,
        "states": states,
        "hidden": hidden,
        "alpha": alpha,
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
    states, hidden, weights = steps["states"], steps["hidden"], steps["alpha"]
    d_context, d_fc, d_fc_bias = linear_backward(
        d_logits, steps["context"], parameters["fc.weight"], parameters["fc.bias"]
    )
    d_weights = np.sum(d_context[:, None] * states, axis=-1)
    d_scores = weights * (d_weights - np.sum(d_weights * weights, axis=-1, keepdims=True))
    d_hidden = d_scores[..., None] * parameters["v_a"] * (1 - hidden**2)
    d_read, d_attention, d_attention_bias = linear_backward(
        d_hidden, states, parameters["attention.weight"], parameters["attention.bias"]
    )
    d_states = weights[..., None] * d_context[:, None] + d_read
    tokens, ends = without_padding(ids, pad_id) if lengths is None else (ids, np.asarray(lengths))
    d_embedded, _, d_lstm = recurrent_backward(
        d_states, None, steps["embedded"], under(parameters, "lstm."), None, ends
    )
    (d_table,) = embedding_backward(d_embedded, tokens, parameters["embedding.weight"])
    d_table[pad_id] = 0  # the row of padding has no gradient
    assert d_fc_bias is not None and d_attention_bias is not None
    return {
        "embedding.weight": d_table,
        "attention.weight": d_attention,
        "attention.bias": d_attention_bias,
        "v_a": np.einsum("bl,bla->a", d_scores, hidden),
        "fc.weight": d_fc,
        "fc.bias": d_fc_bias,
        **prefixed(d_lstm, "lstm."),
    }

"""seq2seq: a recurrent encoder, and a recurrent decoder that attends to it

  forward    m_1 … m_S, last states = encoder(E_src[src])    lstm or gru, stacked, in one direction or both
             s_0 = the last states; of both directions h = tanh(W_h [→, ←] + b_h), c = W_c [→, ←] + b_c
  bahdanau   c_t = attend(s_{t-1}, m)    s_t = cell([e_t, c_t], s_{t-1})     h̃_t = tanh(W_r [c_t, s_t, e_t])
  luong      s_t = cell(e_t, s_{t-1})    c_t = attend(s_t, m)                h̃_t = tanh(W_r [c_t, s_t])
             with input feeding s_t = cell([e_t, h̃_{t-1}], s_{t-1}), h̃_0 = 0
             attend(s, m) = Σ_j softmax_j(score_j) m_j
             score_j: v_a·tanh(W_q s + W_k m_j) (additive, concat), s·W_k m_j (general), s·m_j (dot)
             logits_t = W h̃_t + b
  backward   the same path from the end, step by step; what the steps share (memory, parameters) collects
             the gradients of all

src: (B, S)  tgt: (B, T)  m: (B, S, M)  s, h̃: (B, H)  weights: (B, T, S)  logits: (B, T, V)
e_t = E_tgt[tgt_t]; a query is the state of the decoder's last layer, s_t in [·] too.
Parameters: src_embedding, tgt_embedding, (encoder, decoder).(weight_ih, weight_hh, bias_ih, bias_hh)_l0 …,
with both directions …_l0_reverse and bridge_h, bridge_c; query, v_a, key, readout, generator.
Padding of src, wherever it stands, is as if it were not there.
Which parameters are there tells the variant: W_q the additive score, W_k the general one.
No dropout: this is the model in evaluation, or with dropout 0.
Bahdanau et al. 2015, §3, §A.1.2; Luong et al. 2015, §3.1, §3.3; article 004 §3.
"""

import numpy as np

from ._tokens import before_end, put_back, without_padding
from ._types import Array, Ids, Mask, Parameters, prefixed, under
from .embedding import embedding, embedding_backward
from .linear import linear, linear_backward
from .recurrent import States, recurrent, recurrent_backward
from .softmax import softmax


def bridge(last: States, parameters: Parameters) -> States:
    """The encoder's last states -> the decoder's first ones."""
    if "bridge_h.weight" not in parameters:
        return last
    first: States = []
    for forward, backward in zip(last[::2], last[1::2], strict=True):
        pairs = [np.concatenate(pair, axis=-1) for pair in zip(forward, backward, strict=True)]
        h: Array = np.tanh(linear(pairs[0], parameters["bridge_h.weight"], parameters["bridge_h.bias"]))
        if len(pairs) == 1:
            first.append((h,))
        else:
            first.append((h, linear(pairs[1], parameters["bridge_c.weight"], parameters["bridge_c.bias"])))
    return first


def bridge_backward(d_first: States, last: States, parameters: Parameters) -> tuple[States, Parameters]:
    """-> the gradients of the encoder's last states, and those of the parameters by name."""
    if "bridge_h.weight" not in parameters:
        return d_first, {}
    d_last: States = []
    gradients: Parameters = {}
    for forward, backward, d_layer in zip(last[::2], last[1::2], d_first, strict=True):
        d_halves = []
        for name, f, b, d in zip(("bridge_h", "bridge_c"), forward, backward, d_layer, strict=False):
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            pair = np.concatenate([f, b], axis=-1)
            d_y = d * (1 - np.tanh(linear(pair, weight, bias)) ** 2) if name == "bridge_h" else d
            d_pair, d_weight, d_bias = linear_backward(d_y, pair, weight, bias)
            assert d_bias is not None
            add_to(gradients, {f"{name}.weight": d_weight, f"{name}.bias": d_bias})
            d_halves.append(np.split(d_pair, 2, axis=-1))
        d_last += [tuple(halves[0] for halves in d_halves), tuple(halves[1] for halves in d_halves)]
    return d_last, gradients


def add_to(total: Parameters, gradients: Parameters) -> None:
    for name, gradient in gradients.items():
        total[name] = total[name] + gradient if name in total else gradient


def attend(state: Array, memory: Array, parameters: Parameters, allowed: Mask) -> tuple[Array, Array]:
    """state (B, H), memory (B, S, M), allowed (B, S) -> context (B, M), weights (B, S)."""
    keys = linear(memory, parameters["key.weight"]) if "key.weight" in parameters else memory
    if "query.weight" in parameters:
        scores = np.tanh(linear(state, parameters["query.weight"])[:, None] + keys) @ parameters["v_a"]
    else:
        scores = np.sum(state[:, None] * keys, axis=-1)
    # A row of padding alone has weights of 0.
    weights = softmax(np.where(allowed, scores, -np.inf))
    context: Array = np.sum(weights[..., None] * memory, axis=1)
    return context, weights


def attend_backward(
    d_context: Array, state: Array, memory: Array, parameters: Parameters, allowed: Mask
) -> tuple[Array, Array, Parameters]:
    """-> d_state, d_memory, and the gradients of the parameters by name."""
    _, weights = attend(state, memory, parameters, allowed)
    d_memory: Array = weights[..., None] * d_context[:, None]
    d_weights = np.sum(d_context[:, None] * memory, axis=-1)
    # softmax_backward from its output: the scores behind the mask are -inf.
    d_scores = weights * (d_weights - np.sum(d_weights * weights, axis=-1, keepdims=True))
    keys = linear(memory, parameters["key.weight"]) if "key.weight" in parameters else memory
    gradients: Parameters = {}
    if "query.weight" in parameters:
        y = np.tanh(linear(state, parameters["query.weight"])[:, None] + keys)
        gradients["v_a"] = np.einsum("bs,bsa->a", d_scores, y)
        d_keys = d_scores[..., None] * parameters["v_a"] * (1 - y * y)
        d_state, gradients["query.weight"], _ = linear_backward(
            d_keys.sum(axis=1), state, parameters["query.weight"]
        )
    else:
        d_keys = d_scores[..., None] * state[:, None]
        d_state = np.sum(d_scores[..., None] * keys, axis=1)
    if "key.weight" in parameters:
        d_keys, gradients["key.weight"], _ = linear_backward(d_keys, memory, parameters["key.weight"])
    return d_state, d_memory + d_keys, gradients


def decode_step(
    e: Array,
    states: States,
    fed: Array,
    memory: Array,
    parameters: Parameters,
    allowed: Mask,
    attention: str,
    input_feeding: bool,
) -> tuple[dict[str, Array], States]:
    """One step: e (B, E), fed (B, H), which is the readout of the step before.

    -> x, context, weights, joined and readout by name, and the new states.
    """
    steps: dict[str, Array] = {}
    if attention == "bahdanau":
        steps["context"], steps["weights"] = attend(states[-1][0], memory, parameters, allowed)
        steps["x"] = np.concatenate([e, steps["context"]], axis=-1)
    else:
        steps["x"] = np.concatenate([e, fed], axis=-1) if input_feeding else e
    _, states = recurrent(steps["x"][:, None], under(parameters, "decoder."), states)
    if attention == "luong":
        steps["context"], steps["weights"] = attend(states[-1][0], memory, parameters, allowed)
    parts = [steps["context"], states[-1][0], *([e] if attention == "bahdanau" else [])]
    steps["joined"] = np.concatenate(parts, axis=-1)
    steps["readout"] = np.tanh(linear(steps["joined"], parameters["readout.weight"]))
    return steps, states


def decode_step_backward(
    d_readout: Array,
    d_last: States,
    e: Array,
    states: States,
    fed: Array,
    memory: Array,
    parameters: Parameters,
    allowed: Mask,
    attention: str,
    input_feeding: bool,
) -> tuple[Array, States, Array, Array, Parameters]:
    """-> d_e, d_states, d_fed, d_memory, and the gradients of the parameters by name."""
    steps, last = decode_step(e, states, fed, memory, parameters, allowed, attention, input_feeding)
    d_z = d_readout * (1 - steps["readout"] ** 2)
    d_joined, d_weight, _ = linear_backward(d_z, steps["joined"], parameters["readout.weight"])
    gradients: Parameters = {"readout.weight": d_weight}
    width, units = memory.shape[-1], fed.shape[-1]
    d_context, d_top, d_e = np.split(d_joined, [width, width + units], axis=-1)
    d_memory: Array = np.zeros_like(memory)
    if attention == "luong":
        d_query, d_memory, d_attend = attend_backward(d_context, last[-1][0], memory, parameters, allowed)
        add_to(gradients, d_attend)
        d_top, d_e = d_top + d_query, np.zeros_like(e)
    d_last = [*d_last[:-1], (d_last[-1][0] + d_top, *d_last[-1][1:])]

    x, decoder = steps["x"][:, None], under(parameters, "decoder.")
    nothing = np.zeros((len(e), 1, units), dtype=e.dtype)  # the outputs are the last states
    d_x, d_states, d_decoder = recurrent_backward(nothing, d_last, x, decoder, states)
    add_to(gradients, prefixed(d_decoder, "decoder."))
    d_of_e, d_read = np.split(d_x[:, 0], [e.shape[-1]], axis=-1)
    d_fed: Array = d_read if input_feeding else np.zeros_like(fed)
    if attention == "bahdanau":
        d_query, d_memory, d_attend = attend_backward(
            d_context + d_read, states[-1][0], memory, parameters, allowed
        )
        add_to(gradients, d_attend)
        d_states = [*d_states[:-1], (d_states[-1][0] + d_query, *d_states[-1][1:])]
    return d_e + d_of_e, d_states, d_fed, d_memory, gradients


def seq2seq_steps(
    src: Ids, tgt: Ids, parameters: Parameters, attention: str, input_feeding: bool = False, pad_id: int = 0
) -> dict[str, Array]:
    """Every intermediate by name.

    memory (B, n, M) of the n tokens in the longest row, weights (B, T, S), readouts (B, T, H),
    logits (B, T, V).
    """
    tokens, lengths = without_padding(src, pad_id)
    allowed = before_end(tokens, lengths)
    embedded = embedding(tokens, parameters["src_embedding.weight"])
    memory, last = recurrent(embedded, under(parameters, "encoder."), None, lengths)
    states = bridge(last, parameters)
    targets = embedding(tgt, parameters["tgt_embedding.weight"])
    fed: Array = np.zeros((len(src), parameters["readout.weight"].shape[0]), dtype=memory.dtype)
    rows: list[Array] = []
    readouts: list[Array] = []
    for t in range(tgt.shape[1]):
        steps, states = decode_step(
            targets[:, t], states, fed, memory, parameters, allowed, attention, input_feeding
        )
        fed = steps["readout"]
        rows.append(steps["weights"])
        readouts.append(fed)
    joined = np.stack(readouts, axis=1)
    return {
        "memory": memory,
        "weights": np.swapaxes(put_back(np.stack(rows, axis=2), src, pad_id), 1, 2),
        "readouts": joined,
        "logits": linear(joined, parameters["generator.weight"], parameters["generator.bias"]),
    }


def seq2seq(
    src: Ids, tgt: Ids, parameters: Parameters, attention: str, input_feeding: bool = False, pad_id: int = 0
) -> Array:
    """src (B, S), tgt (B, T) -> logits (B, T, V)."""
    return seq2seq_steps(src, tgt, parameters, attention, input_feeding, pad_id)["logits"]


def seq2seq_backward(
    d_logits: Array,
    src: Ids,
    tgt: Ids,
    parameters: Parameters,
    attention: str,
    input_feeding: bool = False,
    pad_id: int = 0,
) -> Parameters:
    """d_logits (B, T, V) -> the gradients of the parameters by name."""
    tokens, lengths = without_padding(src, pad_id)
    allowed = before_end(tokens, lengths)
    encoder = under(parameters, "encoder.")
    embedded = embedding(tokens, parameters["src_embedding.weight"])
    memory, last = recurrent(embedded, encoder, None, lengths)
    targets = embedding(tgt, parameters["tgt_embedding.weight"])
    # Forward again, keeping what each step began with.
    states = bridge(last, parameters)
    fed: Array = np.zeros((len(src), parameters["readout.weight"].shape[0]), dtype=memory.dtype)
    before: list[tuple[States, Array]] = []
    readouts: list[Array] = []
    for t in range(tgt.shape[1]):
        before.append((states, fed))
        steps, states = decode_step(
            targets[:, t], states, fed, memory, parameters, allowed, attention, input_feeding
        )
        fed = steps["readout"]
        readouts.append(fed)

    d_readouts, d_weight, d_bias = linear_backward(
        d_logits, np.stack(readouts, axis=1), parameters["generator.weight"], parameters["generator.bias"]
    )
    assert d_bias is not None
    gradients: Parameters = {"generator.weight": d_weight, "generator.bias": d_bias}
    d_states: States = [tuple(np.zeros_like(part) for part in state) for state in states]
    d_fed, d_memory, d_targets = np.zeros_like(fed), np.zeros_like(memory), np.zeros_like(targets)
    for t in reversed(range(tgt.shape[1])):
        first, fed = before[t]
        d_e, d_states, d_fed, d_m, d_step = decode_step_backward(
            d_readouts[:, t] + d_fed, d_states, targets[:, t], first, fed,
            memory, parameters, allowed, attention, input_feeding,
        )  # fmt: skip
        d_targets[:, t] = d_e
        d_memory = d_memory + d_m
        add_to(gradients, d_step)
    d_last, d_bridge = bridge_backward(d_states, last, parameters)
    d_embedded, _, d_encoder = recurrent_backward(d_memory, d_last, embedded, encoder, None, lengths)
    gradients |= d_bridge | prefixed(d_encoder, "encoder.")
    for name, ids, d_x in (("src_embedding", tokens, d_embedded), ("tgt_embedding", tgt, d_targets)):
        (d_table,) = embedding_backward(d_x, ids, parameters[f"{name}.weight"])
        # The row of padding has no gradient.
        d_table[pad_id] = 0
        gradients[f"{name}.weight"] = d_table
    return gradients

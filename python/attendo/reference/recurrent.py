"""recurrent: a stack of LSTM or GRU layers, each in one direction or in both

  forward    out of layer l is the input of layer l + 1; two directions stand side by side: [→, ←]
  backward   the layers from the last to the first; a layer's input collects both directions'

x: (B, S, in)  out: (B, S, H) or (B, S, 2 H): of the last layer
States: h, with an LSTM c behind it, (B, H) each, of each layer and direction in turn.
Parameters: (weight_ih, weight_hh, bias_ih, bias_hh)_l0 … and with both directions …_l0_reverse.
No dropout.  From the length of a sample on its states stand still: the second direction begins there.
Hochreiter and Schmidhuber 1997; Cho et al. 2014; Schuster and Paliwal 1997; article 004 §2.1, §5.3.
"""

import numpy as np

from ._types import Array, Ids, Parameters
from .gru import gru, gru_backward
from .lstm import lstm, lstm_backward

States = list[tuple[Array, ...]]  # of each layer (and direction) h, with an lstm c behind it


def cell_weights(parameters: Parameters, end: str) -> tuple[Array, Array, Array, Array]:
    """weight_ih, weight_hh, bias_ih, bias_hh of one layer in one direction."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_ih, w_hh, b_ih, b_hh = (parameters[name + end] for name in names)
    return w_ih, w_hh, b_ih, b_hh


def run_cell(
    x: Array, parameters: Parameters, end: str, state: tuple[Array, ...] | None, lengths: Ids | None = None
) -> tuple[Array, tuple[Array, ...]]:
    """One layer in one direction: x (B, L, in) -> out (B, L, H) and its last states."""
    w_ih, w_hh, b_ih, b_hh = cell_weights(parameters, end)
    h_0 = None if state is None else state[0]
    reverse = end.endswith("_reverse")
    if w_ih.shape[0] == 4 * w_hh.shape[1]:
        c_0 = None if state is None else state[1]
        out, *last = lstm(x, w_ih, w_hh, b_ih, b_hh, h_0, c_0, lengths, reverse)
    else:
        out, *last = gru(x, w_ih, w_hh, b_ih, b_hh, h_0, lengths, reverse)
    return out, tuple(last)


def run_cell_backward(
    d_out: Array,
    d_last: tuple[Array, ...] | None,
    x: Array,
    parameters: Parameters,
    end: str,
    state: tuple[Array, ...] | None,
    lengths: Ids | None = None,
) -> tuple[Array, tuple[Array, ...], Parameters]:
    """-> d_x, the gradients of its first states (none without), and those of the parameters by name."""
    w_ih, w_hh, b_ih, b_hh = cell_weights(parameters, end)
    h_0, reverse = None if state is None else state[0], end.endswith("_reverse")
    d_h = None if d_last is None else d_last[0]
    if w_ih.shape[0] == 4 * w_hh.shape[1]:
        c_0, d_c = None if state is None else state[1], None if d_last is None else d_last[1]
        d_x, *d = lstm_backward(d_out, x, w_ih, w_hh, b_ih, b_hh, h_0, c_0, lengths, reverse, d_h, d_c)
    else:
        d_x, *d = gru_backward(d_out, x, w_ih, w_hh, b_ih, b_hh, h_0, lengths, reverse, d_h_n=d_h)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gradients = {name + end: g for name, g in zip(names, d, strict=False) if g is not None}
    return d_x, tuple(g for g in d[4:] if g is not None), gradients


def directions(parameters: Parameters, layer: int) -> list[str]:
    """How the names of the parameters of a layer end."""
    ends = (f"_l{layer}", f"_l{layer}_reverse")
    return [end for end in ends if f"weight_ih{end}" in parameters]


def recurrent(
    x: Array, parameters: Parameters, states: States | None = None, lengths: Ids | None = None
) -> tuple[Array, States]:
    """Layers one after another, directions side by side: x (B, L, in) -> out and the last states."""
    last: States = []
    layer = 0
    while ends := directions(parameters, layer):
        outs = []
        for end in ends:
            out, state = run_cell(x, parameters, end, states[len(last)] if states else None, lengths)
            outs.append(out)
            last.append(state)
        x = np.concatenate(outs, axis=-1)
        layer += 1
    return x, last


def recurrent_backward(
    d_out: Array,
    d_last: States | None,
    x: Array,
    parameters: Parameters,
    states: States | None = None,
    lengths: Ids | None = None,
) -> tuple[Array, States, Parameters]:
    """-> d_x, the gradients of the first states, and those of the parameters by name."""
    inputs = [x]  # of each layer
    while ends := directions(parameters, len(inputs) - 1):
        at = (len(inputs) - 1) * len(ends)
        outs = [
            run_cell(inputs[-1], parameters, end, states[at + i] if states else None, lengths)[0]
            for i, end in enumerate(ends)
        ]
        inputs.append(np.concatenate(outs, axis=-1))
    d_states: States = []
    gradients: Parameters = {}
    for layer in reversed(range(len(inputs) - 1)):
        ends = directions(parameters, layer)
        d_x, d_of_layer = np.zeros_like(inputs[layer]), []
        for i, (end, d_direction) in enumerate(zip(ends, np.split(d_out, len(ends), axis=-1), strict=True)):
            at = layer * len(ends) + i
            d_one, d_state, d_weights = run_cell_backward(
                d_direction,
                d_last[at] if d_last else None,
                inputs[layer],
                parameters,
                end,
                states[at] if states else None,
                lengths,
            )
            d_x = d_x + d_one
            d_of_layer.append(d_state)
            gradients.update(d_weights)
        d_states = d_of_layer + d_states
        d_out = d_x
    return d_out, d_states, gradients

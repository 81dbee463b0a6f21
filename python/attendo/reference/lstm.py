"""lstm: long short-term memory, one layer in one direction

  forward    a   = W x_t + b + U h_{t-1} + b'                          four gates, one after the other
             i, f, o = σ(a_i), σ(a_f), σ(a_o)        g = tanh(a_g)
             c_t = f ∘ c_{t-1} + i ∘ g               h_t = o ∘ tanh(c_t)
  backward   dh  = dout_t + what step t + 1 sent back
             do  = dh ∘ tanh(c_t)        dc = dh ∘ o ∘ (1 - tanh²(c_t)) + what step t + 1 sent back
             da_i = dc ∘ g ∘ i (1 - i)   da_f = dc ∘ c_{t-1} ∘ f (1 - f)
             da_g = dc ∘ i ∘ (1 - g²)    da_o = do ∘ o (1 - o)
             dx_t = Wᵀ da     dh_{t-1} = Uᵀ da     dc_{t-1} = dc ∘ f
             dW = Σ_t da x_tᵀ     dU = Σ_t da h_{t-1}ᵀ     db = db' = Σ_t da

x: (B, S, in)  W = weight_ih: (4 H, in)  U = weight_hh: (4 H, H)  b = bias_ih, b' = bias_hh: (4 H,)
gates in the order i f g o  h_0, c_0, h_n, c_n: (B, H)  lengths: (B,)  out: (B, S, H), all h_t
With reverse the last step comes first.
At steps from a sample's length on, its states stand still, its output is 0, and x is not looked at.
Hochreiter and Schmidhuber 1997; Gers et al. 2000 (the gate f); article 004 §2.1, §5.3.
"""

import numpy as np

from ._types import Array, Ids
from .activations import sigmoid


def _zeros_or(state: Array | None, batch: int, units: int, dtype: "np.dtype[np.floating]") -> Array:
    return np.zeros((batch, units), dtype=dtype) if state is None else state


def _order(length: int, reverse: bool) -> list[int]:
    return list(range(length))[:: -1 if reverse else 1]


def _active(lengths: Ids | None, batch: int, t: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """(B, 1): which samples reach step t."""
    return np.ones((batch, 1), dtype=bool) if lengths is None else (t < np.asarray(lengths))[:, None]


def _gates(
    x: Array, h: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array | None, bias_hh: Array | None
) -> list[Array]:
    """x (B, in), h (B, H) -> i, f, g, o (B, H)."""
    a = x @ weight_ih.T + h @ weight_hh.T
    if bias_ih is not None:
        a = a + bias_ih
    if bias_hh is not None:
        a = a + bias_hh
    i, f, g, o = np.split(a, 4, axis=-1)
    return [sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)]


def lstm(
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    h_0: Array | None = None,
    c_0: Array | None = None,
    lengths: Ids | None = None,
    reverse: bool = False,
) -> tuple[Array, Array, Array]:
    """x (B, S, in) -> out (B, S, H), h_n and c_n (B, H)."""
    batch, length, _ = x.shape
    units = weight_hh.shape[1]
    h, c = (_zeros_or(state, batch, units, x.dtype) for state in (h_0, c_0))
    out: Array = np.zeros((batch, length, units), dtype=x.dtype)
    for t in _order(length, reverse):
        active = _active(lengths, batch, t)
        i, f, g, o = _gates(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh)
        c = np.where(active, f * c + i * g, c)
        h = np.where(active, o * np.tanh(c), h)
        out[:, t] = np.where(active, h, 0)
    return out, h.copy(), c.copy()


def lstm_backward(
    d_out: Array,
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    h_0: Array | None = None,
    c_0: Array | None = None,
    lengths: Ids | None = None,
    reverse: bool = False,
    d_h_n: Array | None = None,
    d_c_n: Array | None = None,
) -> tuple[Array, Array, Array, Array | None, Array | None, Array | None, Array | None]:
    """d_out (B, S, H) -> d_x, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh, d_h_0, d_c_0."""
    batch, length, _ = x.shape
    units = weight_hh.shape[1]
    # Forward again, keeping the states before each step.
    h, c = (_zeros_or(state, batch, units, x.dtype) for state in (h_0, c_0))
    before = {}
    for t in _order(length, reverse):
        before[t] = h, c
        active = _active(lengths, batch, t)
        i, f, g, o = _gates(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh)
        c = np.where(active, f * c + i * g, c)
        h = np.where(active, o * np.tanh(c), h)
    d_h, d_c = (_zeros_or(state, batch, units, x.dtype) for state in (d_h_n, d_c_n))
    d_x: Array = np.zeros_like(x)
    d_weight_ih: Array = np.zeros_like(weight_ih)
    d_weight_hh: Array = np.zeros_like(weight_hh)
    d_bias: Array = np.zeros(4 * units, dtype=x.dtype)
    for t in reversed(_order(length, reverse)):
        active = _active(lengths, batch, t)
        h, c = before[t]
        i, f, g, o = _gates(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh)
        tanh_c = np.tanh(f * c + i * g)
        dh = d_h + d_out[:, t]
        dc = d_c + dh * o * (1 - tanh_c**2)
        d_a = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c * f * (1 - f),
                dc * i * (1 - g**2),
                dh * tanh_c * o * (1 - o),
            ],
            axis=-1,
        )
        d_a = np.where(active, d_a, 0)
        d_x[:, t] = np.where(active, d_a @ weight_ih, 0)
        d_weight_ih += d_a.T @ np.where(active, x[:, t], 0)
        d_weight_hh += d_a.T @ h
        d_bias += d_a.sum(axis=0)
        d_h = np.where(active, d_a @ weight_hh, d_h)
        d_c = np.where(active, dc * f, d_c)
    return (
        d_x,
        d_weight_ih,
        d_weight_hh,
        None if bias_ih is None else d_bias,
        None if bias_hh is None else d_bias.copy(),
        None if h_0 is None else d_h,
        None if c_0 is None else d_c,
    )

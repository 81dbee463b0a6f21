"""gru: gated recurrent unit, one layer in one direction

  forward    r, z = σ(W x_t + b + U h_{t-1} + b')                             with their rows of W, U, b, b'
             reset_after   n = tanh(W_n x_t + b_n + r ∘ (U_n h_{t-1} + b'_n))     as PyTorch and cuDNN
             otherwise     n = tanh(W_n x_t + b_n + U_n (r ∘ h_{t-1}) + b'_n)     as in the paper
             h_t = (1 - z) ∘ n + z ∘ h_{t-1}
  backward   dh   = dout_t + what step t + 1 sent back
             da_n = dh ∘ (1 - z) ∘ (1 - n²)     da_z = dh ∘ (h_{t-1} - n) ∘ z (1 - z)
             reset_after   u = U_n h_{t-1} + b'_n     du = da_n ∘ r     da_r = da_n ∘ u ∘ r (1 - r)
                           dh_{t-1} = dh ∘ z + U_rᵀ da_r + U_zᵀ da_z + U_nᵀ du
                           dU_n = Σ_t du h_{t-1}ᵀ     db'_n = Σ_t du
             otherwise     q = r ∘ h_{t-1}     dq = U_nᵀ da_n     da_r = dq ∘ h_{t-1} ∘ r (1 - r)
                           dh_{t-1} = dh ∘ z + U_rᵀ da_r + U_zᵀ da_z + dq ∘ r
                           dU_n = Σ_t da_n qᵀ     db'_n = Σ_t da_n
             dx_t = Wᵀ da     dW = Σ_t da x_tᵀ     db = Σ_t da     dU_r, dU_z = Σ_t da h_{t-1}ᵀ

x: (B, S, in)  W = weight_ih: (3 H, in)  U = weight_hh: (3 H, H)  b = bias_ih, b' = bias_hh: (3 H,)
gates in the order r z n  h_0, h_n: (B, H)  lengths: (B,)  out: (B, S, H), all h_t
With reverse the last step comes first.
At steps from a sample's length on, its state stands still, its output is 0, and x is not looked at.
Cho et al. 2014, eq. 5 to 8; article 004 §2.1, §5.3.
"""

import numpy as np

from ._types import Array, Ids
from .activations import sigmoid
from .lstm import _active, _order, _zeros_or


def _gates(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    reset_after: bool,
) -> tuple[Array, Array, Array, Array]:
    """x (B, in), h (B, H) -> r, z, n and u = U_n h + b'_n (B, H)."""
    units = weight_hh.shape[1]
    none = np.zeros(3 * units, dtype=x.dtype)
    b = none if bias_ih is None else bias_ih
    b_hidden = none if bias_hh is None else bias_hh
    x_r, x_z, x_n = np.split(x @ weight_ih.T + b, 3, axis=-1)
    h_r, h_z, u = np.split(h @ weight_hh.T + b_hidden, 3, axis=-1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    if reset_after:
        n = np.tanh(x_n + r * u)
    else:
        n = np.tanh(x_n + (r * h) @ weight_hh[2 * units :].T + b_hidden[2 * units :])
    return r, z, n, u


def gru(
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    h_0: Array | None = None,
    lengths: Ids | None = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> tuple[Array, Array]:
    """x (B, S, in) -> out (B, S, H) and h_n (B, H)."""
    batch, length, _ = x.shape
    units = weight_hh.shape[1]
    h = _zeros_or(h_0, batch, units, x.dtype)
    out: Array = np.zeros((batch, length, units), dtype=x.dtype)
    for t in _order(length, reverse):
        active = _active(lengths, batch, t)
        _, z, n, _ = _gates(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh, reset_after)
        h = np.where(active, (1 - z) * n + z * h, h)
        out[:, t] = np.where(active, h, 0)
    return out, h.copy()


def gru_backward(
    d_out: Array,
    x: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None,
    bias_hh: Array | None,
    h_0: Array | None = None,
    lengths: Ids | None = None,
    reverse: bool = False,
    reset_after: bool = True,
    d_h_n: Array | None = None,
) -> tuple[Array, Array, Array, Array | None, Array | None, Array | None]:
    """d_out (B, S, H) -> d_x, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh, d_h_0."""
    batch, length, _ = x.shape
    units = weight_hh.shape[1]
    # Forward again, keeping the state before each step.
    h = _zeros_or(h_0, batch, units, x.dtype)
    before = {}
    for t in _order(length, reverse):
        before[t] = h
        _, z, n, _ = _gates(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh, reset_after)
        h = np.where(_active(lengths, batch, t), (1 - z) * n + z * h, h)
    d_h = _zeros_or(d_h_n, batch, units, x.dtype)
    d_x: Array = np.zeros_like(x)
    d_weight_ih: Array = np.zeros_like(weight_ih)
    d_weight_hh: Array = np.zeros_like(weight_hh)
    d_bias_ih: Array = np.zeros(3 * units, dtype=x.dtype)
    d_bias_hh: Array = np.zeros(3 * units, dtype=x.dtype)
    u_rz, u_n = weight_hh[: 2 * units], weight_hh[2 * units :]
    for t in reversed(_order(length, reverse)):
        active = _active(lengths, batch, t)
        h = before[t]
        r, z, n, u = _gates(x[:, t], h, weight_ih, weight_hh, bias_ih, bias_hh, reset_after)
        dh = d_h + d_out[:, t]
        d_n = np.where(active, dh * (1 - z) * (1 - n**2), 0)
        d_z = np.where(active, dh * (h - n) * z * (1 - z), 0)
        if reset_after:
            d_r = np.where(active, d_n * u * r * (1 - r), 0)
            d_u = np.where(active, d_n * r, 0)  # of U_n h + b'_n
            seen = h  # what U_n multiplies
            through_n = d_u @ u_n
        else:
            d_q = d_n @ u_n
            d_r = np.where(active, d_q * h * r * (1 - r), 0)
            d_u = d_n
            seen = np.where(active, r * h, 0)
            through_n = d_q * r
        d_a = np.concatenate([d_r, d_z, d_n], axis=-1)
        d_x[:, t] = np.where(active, d_a @ weight_ih, 0)
        d_weight_ih += d_a.T @ np.where(active, x[:, t], 0)
        d_weight_hh[: 2 * units] += d_a[:, : 2 * units].T @ h
        d_weight_hh[2 * units :] += d_u.T @ seen
        d_bias_ih += d_a.sum(axis=0)
        d_bias_hh += np.concatenate([d_a[:, : 2 * units], d_u], axis=-1).sum(axis=0)
        d_h = np.where(active, dh * z + d_a[:, : 2 * units] @ u_rz + through_n, d_h)
    return (
        d_x,
        d_weight_ih,
        d_weight_hh,
        None if bias_ih is None else d_bias_ih,
        None if bias_hh is None else d_bias_hh,
        None if h_0 is None else d_h,
    )

"""luong: the attentional vector

  forward    c_i = Σ_j P_ij m_j,  P_i = softmax_j(score(h_i, m_j))     h̃_i = tanh(W_c [c_i, h_i])
  backward   dz = dh̃ (1 - h̃²)     dW_c = Σ_i dz_i [c_i, h_i]ᵀ     [dc_i, dh_i] = W_cᵀ dz_i
             then that of attention; the memory is read as keys and as values: its two gradients add

h = query: (..., L, D)  m = memory: (..., S, Ds)  W_c: (out, Ds + D)
h̃ = out: (..., L, out)  P = weights: (..., L, S).
Luong et al. 2015, eq. 5; article 002 §3.1 (attention output and hidden state side by side).
"""

from collections.abc import Sequence

import numpy as np

from ._types import Array, Mask
from .linear import linear, linear_backward
from .scored import scored, scored_backward


def _with_head(mask: Mask | None, ndim: int) -> Mask | None:
    return mask[..., None, :, :] if mask is not None and mask.ndim == ndim and ndim > 2 else mask


def luong(
    query: Array,
    memory: Array,
    w_c: Array,
    score: str = "dot",
    params: Sequence[Array] = (),
    mask: Mask | None = None,
) -> tuple[Array, Array]:
    """-> out (..., L, out), weights (..., L, S)."""
    h, m = query[..., None, :, :], memory[..., None, :, :]  # one head
    context, weights = scored(h, m, m, score, params, _with_head(mask, query.ndim))
    joined = np.concatenate([context[..., 0, :, :], query], axis=-1)
    out: Array = np.tanh(linear(joined, w_c))
    return out, weights[..., 0, :, :]


def luong_backward(
    d_out: Array,
    query: Array,
    memory: Array,
    w_c: Array,
    score: str = "dot",
    params: Sequence[Array] = (),
    mask: Mask | None = None,
) -> tuple[Array, Array, Array, list[Array]]:
    """d_out (..., L, out) -> d_query, d_memory, d_w_c and a gradient for each of params."""
    h, m, allowed = query[..., None, :, :], memory[..., None, :, :], _with_head(mask, query.ndim)
    context, _ = scored(h, m, m, score, params, allowed)
    joined = np.concatenate([context[..., 0, :, :], query], axis=-1)
    out = np.tanh(linear(joined, w_c))
    d_joined, d_w_c, _ = linear_backward(d_out * (1 - out * out), joined, w_c)
    d_context, d_query = np.split(d_joined, [memory.shape[-1]], axis=-1)
    d_h, d_k, d_v, d_params, _, _ = scored_backward(
        d_context[..., None, :, :], h, m, m, score, params, allowed
    )
    return d_query + d_h[..., 0, :, :], (d_k + d_v)[..., 0, :, :], d_w_c, d_params

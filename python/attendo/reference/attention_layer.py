"""attention_layer: attention in the manner of Keras

  forward    dot     s_ij = Σ_d W_d q_id k_jd          concat  s_ij = Σ_d W_d tanh(q_id + k_jd)
                     P = softmax_j(s)     out_i = Σ_j P_ij v_j
             pooled  s_i = Σ_d W_d q_id k_id           α = softmax_i(s)     out = Σ_i α_i v_i
  backward   that of scored and of pooled; in dot W multiplies the queries

q: (B, L, D)  k: (B, S, D)  v: (B, S, Dv)  W: (D,), ones where there is none  out: (B, L, Dv); pooled: (B, Dv)
mask: (B, L, S); pooled: (B, S).  Article 001 §5.2, corrected.
"""

import numpy as np

from ._types import Array, Mask, Parameters
from .pooled import pooled, pooled_backward
from .scored import scored, scored_backward


def attention_layer(
    q: Array, v: Array, k: Array, parameters: Parameters, score_mode: str = "dot", mask: Mask | None = None
) -> tuple[Array, Array]:
    """-> out, weights."""
    w = parameters.get("W", np.ones(q.shape[-1], q.dtype))
    if score_mode == "pooled":
        return pooled(q, k, v, mask, w=w)
    allowed = None if mask is None else mask[:, None]
    dot = score_mode == "dot"
    heads = ((q * w if dot else q)[:, None], k[:, None], v[:, None])
    out, weights = scored(*heads, "dot" if dot else "additive", () if dot else (w,), allowed)
    return out[:, 0], weights[:, 0]


def attention_layer_backward(
    d_out: Array,
    q: Array,
    v: Array,
    k: Array,
    parameters: Parameters,
    score_mode: str = "dot",
    mask: Mask | None = None,
) -> tuple[Array, Array, Array, Parameters]:
    """-> d_q, d_v, d_k and the gradient of W by name, if it is there."""
    w = parameters.get("W", np.ones(q.shape[-1], q.dtype))
    if score_mode == "pooled":
        d_q, d_k, d_v, d_w = pooled_backward(d_out, q, k, v, mask, w=w)
        assert d_w is not None
    else:
        allowed = None if mask is None else mask[:, None]
        dot = score_mode == "dot"
        heads = ((q * w if dot else q)[:, None], k[:, None], v[:, None])
        d_q, d_k, d_v, d_params, _, _ = scored_backward(
            d_out[:, None], *heads, "dot" if dot else "additive", () if dot else (w,), allowed
        )
        d_q, d_k, d_v = d_q[:, 0], d_k[:, 0], d_v[:, 0]
        d_w = np.sum(d_q * q, axis=(0, 1)) if dot else d_params[0]
        d_q = d_q * w if dot else d_q
    return d_q, d_v, d_k, {"W": d_w} if "W" in parameters else {}

"""attention_stats: what every row of attention's weights looks like

  P_ij       attention's weights                       lse_i = log Σ_j exp(s_ij)
  entropy_i  = -Σ_j P_ij log P_ij, with 0 log 0 = 0    maximum_i = max_j P_ij
  top        the keys of the largest weights, largest first, of equal ones the lower key first

q: (..., H, L, D)  k: (..., Hkv, S, D)  mask and bias broadcast to (..., H, L, S)
entropy, maximum, lse: (..., H, L)  top_keys, top_weights: (..., H, L, min(top_k, S))
A row that may attend nothing has entropy 0, maximum 0, lse -inf.  Where fewer than top_k keys may be
attended, -1 and weight 0 stand for the rest.  No backward pass.
Shannon 1948; Clark et al. 2019, §3.3.
"""

import numpy as np

from ._types import Array, Ids, Mask
from .scaled_dot_product import scaled_dot_product_steps


def attention_stats(
    q: Array,
    k: Array,
    mask: Mask | None = None,
    bias: Array | None = None,
    scale: float | None = None,
    top_k: int = 5,
) -> tuple[Array, Array, Array, Ids, Array]:
    """q, k -> entropy, maximum, lse, top_keys, top_weights."""
    steps = scaled_dot_product_steps(q, k, k, mask, bias, scale)
    weights, masked = steps["weights"], steps["masked"]  # (..., H, L, S)
    logarithms = np.log(np.where(weights > 0, weights, 1))
    entropy: Array = -np.sum(weights * logarithms, axis=-1)
    maximum: Array = np.max(weights, axis=-1, initial=0)
    count = min(top_k, weights.shape[-1])
    order = np.argsort(-masked, axis=-1, kind="stable")[..., :count]
    top_weights: Array = np.take_along_axis(weights, order, axis=-1)
    attended = np.take_along_axis(masked, order, axis=-1) > -np.inf
    return entropy, maximum, steps["lse"], np.where(attended, order, -1), np.where(attended, top_weights, 0)

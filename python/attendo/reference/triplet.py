"""Triplet loss

  L = Σ_i w_i max(0, D(a_i, p_i) - D(a_i, n_i) + m) / Σ_i w_i,   D(x, y) = ‖x - y + 10⁻⁶‖_p
  swap: min(D(a_i, n_i), D(p_i, n_i)) in place of D(a_i, n_i)

anchors, positives, negatives: (N, d)  m: margin  w: (N,) or 1.
Balntas et al. 2016, §3; the 10⁻⁶ is PyTorch's.
"""

import numpy as np

from ._types import Array


def _distance(x: Array, y: Array, p: float) -> Array:
    d: Array = np.sum(np.abs(x - y + 1e-6) ** p, axis=1) ** (1 / p)
    return d


def triplet(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    sample_weight: Array | None = None,
) -> Array:
    """anchor, positive, negative (N, d) -> ()."""
    far = _distance(anchor, negative, p)
    if swap:
        far = np.minimum(far, _distance(positive, negative, p))
    terms = np.maximum(0, _distance(anchor, positive, p) - far + margin)
    w = np.ones(len(terms)) if sample_weight is None else np.asarray(sample_weight)
    loss: Array = np.asarray(np.sum(w * terms) / np.sum(w))
    return loss

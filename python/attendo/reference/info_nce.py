"""Contrastive losses over a batch of pairs

  InfoNCE   L = -Σ_i w_i log(exp(S_ii) / Σ_j exp(S_ij)) / Σ w,   S = [a bᵀ, a nᵀ] / τ
            symmetric: the mean of that and of the same with b aᵀ / τ
  NT-Xent   z = [a; b],  S = z zᵀ / τ,  p(i): the other one of the pair
            L = -Σ_i w_i log(exp(S_ip(i)) / Σ_{j≠i} exp(S_ij)) / Σ w over the 2N rows

a, b: (N, d), row i of a belongs to row i of b  n: (M, d) more negatives  w: (N,) or 1.
Rows are divided by their lengths (InfoNCE: if normalize).
van den Oord, Li and Vinyals 2018, eq. 4; Chen et al. 2020, eq. 1.
"""

import numpy as np

from ._types import Array
from .softmax import log_softmax


def _unit(x: Array) -> Array:
    rows: Array = x / np.maximum(np.sqrt(np.sum(x**2, axis=1, keepdims=True)), 1e-12)
    return rows


def _mean(terms: Array, sample_weight: Array | None) -> Array:
    w = np.ones(len(terms)) if sample_weight is None else np.asarray(sample_weight)
    mean: Array = np.asarray(np.sum(w * terms) / np.sum(w))
    return mean


def info_nce(
    a: Array,
    b: Array,
    negatives: Array | None = None,
    temperature: float = 0.1,
    symmetric: bool = True,
    normalize: bool = True,
    sample_weight: Array | None = None,
) -> Array:
    """a, b (N, d), negatives (M, d) -> ()."""
    others = np.zeros((0, a.shape[1]), a.dtype) if negatives is None else negatives
    if normalize:
        a, b, others = _unit(a), _unit(b), _unit(others)
    loss = -np.diagonal(log_softmax(a @ np.concatenate([b, others]).T / temperature))
    if symmetric:
        loss = (loss - np.diagonal(log_softmax(b @ np.concatenate([a, others]).T / temperature))) / 2
    return _mean(loss, sample_weight)


def nt_xent(a: Array, b: Array, temperature: float = 0.5, sample_weight: Array | None = None) -> Array:
    """a, b (N, d) -> ()."""
    n = len(a)
    z = _unit(np.concatenate([a, b]))
    scores = z @ z.T / temperature
    np.fill_diagonal(scores, -np.inf)
    rows = np.arange(2 * n)
    loss = -log_softmax(scores)[rows, (rows + n) % (2 * n)]
    return _mean(loss, None if sample_weight is None else np.concatenate([sample_weight, sample_weight]))

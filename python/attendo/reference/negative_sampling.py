"""negative_sampling: the loss of word vectors that tell a true neighbour from words drawn at random

  forward    h_b = mean of W[words_b], without those that are -1 (0 if all are)
             x_bk = h_b · U[o_bk],   o_b = (target_b, negatives_b)              k = 0 … K
             loss_b = -log σ(x_b0) - Σ_{k>0} log σ(-x_bk),   σ(x) = 1 / (1 + e^-x)
  backward   dx_b0 = -dloss_b σ(-x_b0),   dx_bk = dloss_b σ(x_bk)
             dU_v = Σ_{bk: o_bk = v} dx_bk h_b,   dh_b = Σ_k dx_bk U[o_bk]
             dW_v = Σ_{b: v in words_b} dh_b / (number of words_b)

words: (B,) or (B, C) integers  targets: (B,)  negatives: (B, K)  W, U: (V, d)  loss: (B,).
Skip-gram: the word, and one of its neighbours as the target.  CBOW: the neighbours, and the word in the
middle.
Mikolov et al. 2013, "Distributed representations of words and phrases", eq. 4; article 004 §3.2.
"""

import numpy as np

from ._types import Array, Ids


def _steps(words: Ids, targets: Ids, negatives: Ids, w: Array, u: Array) -> tuple[Array, Ids, Array, Array]:
    """share (B, C) of each word in h, outputs (B, 1 + K), h (B, d), x (B, 1 + K)."""
    there = words >= 0
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    share = np.asarray(there / count, dtype=w.dtype)
    h = (share[..., None] * w[np.where(there, words, 0)]).sum(axis=1)
    outputs: Ids = np.concatenate([targets[:, None], negatives], axis=1)
    x: Array = (u[outputs] * h[:, None]).sum(axis=-1)
    return share, outputs, h, x


def negative_sampling(
    words: Ids,
    targets: Ids,
    negatives: Ids,
    input_vectors: Array,
    output_vectors: Array,
    sparse: bool = False,
) -> Array:
    """words (B,) or (B, C), targets (B,), negatives (B, K), vectors (V, d) -> loss (B,)."""
    words = words[:, None] if words.ndim == 1 else words
    *_, x = _steps(words, targets, negatives, input_vectors, output_vectors)
    x[:, 0] *= -1
    loss: Array = np.logaddexp(0, x).sum(axis=1)  # log(1 + e^x) = -log σ(-x)
    return loss


def negative_sampling_backward(
    d_loss: Array,
    words: Ids,
    targets: Ids,
    negatives: Ids,
    input_vectors: Array,
    output_vectors: Array,
    sparse: bool = False,
) -> tuple[Array, Array]:
    """d_loss (B,) -> d_input_vectors (V, d), d_output_vectors (V, d)."""
    words = words[:, None] if words.ndim == 1 else words
    share, outputs, h, x = _steps(words, targets, negatives, input_vectors, output_vectors)
    d_x = d_loss[:, None] / (1 + np.exp(-x))  # σ(x)
    d_x[:, 0] = -d_loss / (1 + np.exp(x[:, 0]))
    d_u = np.zeros_like(output_vectors)
    np.add.at(d_u, outputs, d_x[..., None] * h[:, None])
    d_h = (d_x[..., None] * output_vectors[outputs]).sum(axis=1)
    d_w = np.zeros_like(input_vectors)
    np.add.at(d_w, np.maximum(words, 0), share[..., None] * d_h[:, None])
    return d_w, d_u

"""cross_entropy of logits and a target

  target     t_j = (1 - ε) q_j + ε / V      q: the one-hot vector of a class index, or given probabilities
  forward    loss of a row = -Σ_j t_j log p_j,   p = softmax(x)
             "none": the rows' losses    "sum": their sum    "mean": their sum / N
  backward   dx_j = g (p_j Σ_k t_k - t_j)            = g (p_j - t_j) when the target sums to 1
             g = dloss of the row ("none"), dloss ("sum"), dloss / N ("mean")

x = logits: (..., V)  target: int (...), or float (..., V) probabilities or one-hot  loss: (), "none": (...)
ε = label_smoothing.  N counts the rows whose class index is not ignore_index (no meaning for probabilities).
An ignored row is selected away: loss 0, gradient 0, even if its logits are NaN.  If every row is ignored the
mean is 0 (PyTorch: NaN).  A class with t_j = 0 adds 0 even where p_j = 0.
The target is data: it has no gradient.
Szegedy et al. 2016, §7 (label smoothing); articles 000 §5.2, 002 §5.2, 004 §5.3.2.
"""

import numpy as np

from ._types import Array, Ids, Mask
from .softmax import log_softmax, softmax


def _target_and_kept(
    logits: Array, target: Ids | Array, ignore_index: int | None, label_smoothing: float
) -> tuple[Array, Mask]:
    """The target probabilities t (..., V) and which rows count (...)."""
    num_classes = logits.shape[-1]
    if np.issubdtype(target.dtype, np.integer):
        kept: Mask = np.ones(target.shape, dtype=bool)
        if ignore_index is not None:
            kept = np.asarray(target != ignore_index)
        class_index = np.where(kept, target, 0)  # an ignored index need not be a class
        one_hot = class_index[..., None] == np.arange(num_classes)
        t: Array = one_hot.astype(logits.dtype)
    else:
        t = np.asarray(target, dtype=logits.dtype)
        kept = np.ones(target.shape[:-1], dtype=bool)
    t = (1 - label_smoothing) * t + label_smoothing / num_classes
    return t, kept


def _divisor(kept: Mask, reduction: str) -> int:
    """N for the mean (1 if no row counts, so that the mean is 0), 1 for the sum."""
    return max(int(np.count_nonzero(kept)), 1) if reduction == "mean" else 1


def cross_entropy(
    logits: Array,
    target: Ids | Array,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    """logits (..., V), target int (...) or float (..., V) -> loss, () or for reduction "none" (...)."""
    t, kept = _target_and_kept(logits, target, ignore_index, label_smoothing)
    log_p = log_softmax(logits)
    terms = t * np.where(t == 0, 0, log_p)  # 0 · (-inf) would be NaN
    rows: Array = np.where(kept, -np.sum(terms, axis=-1), 0)  # (...)
    if reduction == "none":
        return rows
    loss: Array = np.asarray(np.sum(rows) / _divisor(kept, reduction))
    return loss


def cross_entropy_backward(
    d_loss: Array,
    logits: Array,
    target: Ids | Array,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array]:
    """d_loss like the loss -> d_logits (..., V)."""
    t, kept = _target_and_kept(logits, target, ignore_index, label_smoothing)
    g = d_loss if reduction == "none" else np.broadcast_to(d_loss / _divisor(kept, reduction), kept.shape)
    p = softmax(logits)
    d_rows = g[..., None] * (p * np.sum(t, axis=-1, keepdims=True) - t)
    d_logits: Array = np.where(kept[..., None], d_rows, 0)
    return (d_logits,)

"""cross_entropy of logits and a target

  target     t_j = u_j ((1 - ε) q_j + ε / V)   q: the one-hot vector of a class index, or given probabilities
  forward    loss of a row = -w Σ_j t_j log p_j,   p = softmax(x)
             "none": the rows' losses    "sum": their sum    "mean": their sum / N
  backward   dx_j = g w (p_j Σ_k t_k - t_j)          = g w (p_j - t_j) when the target sums to 1
             g = dloss of the row ("none"), dloss ("sum"), dloss / N ("mean")

x = logits: (..., V)  target: int (...), or float (..., V) probabilities or one-hot  loss: (), "none": (...)
ε = label_smoothing.  u: weight of each class (V,), w: of each sample (axis 0 of the rows); 1 where not given.
N = Σ w u_c over the rows whose class index c is not ignore_index; for probabilities N = Σ w.
An ignored row is selected away: loss 0, gradient 0, even if its logits are NaN.  If every row is ignored the
mean is 0 (PyTorch: NaN).  A class with t_j = 0 adds 0 even where p_j = 0.
The target is data: it has no gradient.
Szegedy et al. 2016, §7 (label smoothing); articles 000 §5.2, 002 §5.2, 004 §5.3.2.
"""

import numpy as np

from ._types import Array, Ids, Mask
from .softmax import log_softmax, softmax


def _target_and_kept(
    logits: Array,
    target: Ids | Array,
    ignore_index: int | None,
    label_smoothing: float,
    weight: Array | None,
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
    if weight is not None:
        t = t * np.asarray(weight)
    return t, kept


def _row_weights(kept: Mask, sample_weight: Array | None) -> Array:
    """w of each row, 0 where it is ignored."""
    w = np.ones(kept.shape) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    w = np.reshape(w, w.shape + (1,) * (kept.ndim - w.ndim)) if kept.ndim else np.reshape(w, ())
    rows: Array = np.where(kept, w, 0.0)
    return rows


def _divisor(w: Array, target: Ids | Array, weight: Array | None, reduction: str) -> float:
    """N for the mean (1 if nothing counts, so that the mean is 0), 1 for the sum."""
    if reduction != "mean":
        return 1.0
    if weight is not None and np.issubdtype(target.dtype, np.integer):
        w = w * np.asarray(weight)[np.where(w != 0, target, 0)]
    n = float(np.sum(w))
    return n if n != 0 else 1.0


def cross_entropy(
    logits: Array,
    target: Ids | Array,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Array | None = None,
    sample_weight: Array | None = None,
) -> Array:
    """logits (..., V), target int (...) or float (..., V) -> loss, () or for reduction "none" (...)."""
    t, kept = _target_and_kept(logits, target, ignore_index, label_smoothing, weight)
    w = _row_weights(kept, sample_weight)
    log_p = log_softmax(logits)
    terms = t * np.where(t == 0, 0, log_p)  # 0 · (-inf) would be NaN
    rows: Array = np.where(w != 0, -w * np.sum(terms, axis=-1), 0)  # (...)
    if reduction == "none":
        return rows
    loss: Array = np.asarray(np.sum(rows) / _divisor(w, target, weight, reduction))
    return loss


def cross_entropy_backward(
    d_loss: Array,
    logits: Array,
    target: Ids | Array,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[Array]:
    """d_loss like the loss -> d_logits (..., V)."""
    t, kept = _target_and_kept(logits, target, ignore_index, label_smoothing, weight)
    w = _row_weights(kept, sample_weight)
    g = w * (d_loss if reduction == "none" else d_loss / _divisor(w, target, weight, reduction))
    p = softmax(logits)
    d_rows = g[..., None] * (p * np.sum(t, axis=-1, keepdims=True) - t)
    d_logits: Array = np.where((w != 0)[..., None], d_rows, 0)
    return (d_logits,)

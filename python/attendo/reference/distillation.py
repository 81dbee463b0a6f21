"""Knowledge distillation

  KL divergence   L = Σ_i w_i Σ_v t_iv (log t_iv - log softmax(x_i)_v) / Σ_i w_i
  distillation    L = α T² KL(softmax(y / T) ‖ softmax(x / T)) + (1 - α) cross-entropy(x, c)

x: the student's logits (..., V)  y: the teacher's logits (..., V)  t: probabilities (..., V)  c: int (...).
w: weight of each sample (axis 0), or 1; 0 where c is ignore_index.  A probability of 0 adds nothing.
Hinton, Vinyals and Dean 2015, §2.
"""

import numpy as np

from ._types import Array, Ids
from .cross_entropy import cross_entropy
from .softmax import log_softmax, softmax


def _rows(shape: tuple[int, ...], sample_weight: Array | None) -> Array:
    w = np.ones(shape)
    if sample_weight is not None:
        w = w * np.reshape(sample_weight, (-1,) + (1,) * (len(shape) - 1))
    return w


def _divergence(t: Array, logits: Array) -> Array:
    log_t = np.log(np.where(t > 0, t, 1))
    rows: Array = np.sum(np.where(t > 0, t * (log_t - log_softmax(logits)), 0), axis=-1)
    return rows


def kl_divergence(logits: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """logits, target (..., V) -> ()."""
    w = _rows(logits.shape[:-1], sample_weight)
    loss: Array = np.asarray(np.sum(w * _divergence(target, logits)) / np.sum(w))
    return loss


def distillation(
    logits: Array,
    target: Ids,
    teacher: Array,
    temperature: float = 2.0,
    alpha: float = 0.5,
    ignore_index: int | None = None,
    sample_weight: Array | None = None,
) -> Array:
    """logits, teacher (..., V), target int (...) -> ()."""
    w = _rows(target.shape, sample_weight)
    if ignore_index is not None:
        w = np.where(target == ignore_index, 0, w)
    rows = _divergence(softmax(teacher / temperature), logits / temperature)
    soft = temperature**2 * np.sum(w * rows) / np.sum(w)
    hard = cross_entropy(logits, target, ignore_index, sample_weight=sample_weight)
    loss: Array = np.asarray(alpha * soft + (1 - alpha) * hard)
    return loss

"""Losses of one number at a time: L = Σ w l(ŷ, y) / Σ w over all numbers of all samples

  mean squared error     l = (ŷ - y)²
  mean absolute error    l = |ŷ - y|
  Huber                  l = ½ a² if a <= δ, else δ (a - ½ δ),   a = |ŷ - y|
  binary cross-entropy   l = -u y log σ(ŷ) - (1 - y) log(1 - σ(ŷ)),   σ(ŷ) = 1 / (1 + e^-ŷ)

ŷ, y: (samples, ...)  w: (samples,) the weight of each sample, or 1.  u: (), or (C,) for the last axis.
Huber 1964, eq. 2.6.
"""

import numpy as np

from ._types import Array


def _mean(terms: Array, sample_weight: Array | None) -> Array:
    w = np.ones(terms.shape)
    if sample_weight is not None:
        w = w * np.reshape(sample_weight, (-1,) + (1,) * (terms.ndim - 1))
    mean: Array = np.asarray(np.sum(w * terms) / np.sum(w))
    return mean


def mean_squared_error(prediction: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """prediction, target (samples, ...) -> ()."""
    return _mean((prediction - target) ** 2, sample_weight)


def mean_absolute_error(prediction: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """prediction, target (samples, ...) -> ()."""
    return _mean(np.abs(prediction - target), sample_weight)


def huber(prediction: Array, target: Array, delta: float = 1.0, sample_weight: Array | None = None) -> Array:
    """prediction, target (samples, ...) -> ()."""
    a = np.abs(prediction - target)
    terms: Array = np.where(a <= delta, 0.5 * a**2, delta * (a - 0.5 * delta))
    return _mean(terms, sample_weight)


def binary_cross_entropy(
    logits: Array, target: Array, pos_weight: Array | float = 1.0, sample_weight: Array | None = None
) -> Array:
    """logits (samples, ...), target 0 to 1 of that shape -> ()."""
    log_yes = -np.logaddexp(0, -logits)  # log σ(x)
    log_no = -np.logaddexp(0, logits)
    return _mean(-np.asarray(pos_weight) * target * log_yes - (1 - target) * log_no, sample_weight)

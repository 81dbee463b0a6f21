"""Several tasks

  weighted       L = Σ_k λ_k L_k                           dL_k = λ_k
  uncertainty    L = Σ_k ½ e^{-s_k} L_k + ½ s_k            dL_k = ½ e^{-s_k},  ds_k = ½ (1 - e^{-s_k} L_k)

L: (K,) the losses of the tasks  λ: (K,)  s: (K,) = log σ².
Kendall, Gal and Cipolla 2018, eq. 7.
"""

import numpy as np

from ._types import Array


def weighted_tasks(losses: Array, weights: Array) -> Array:
    """losses, weights (K,) -> ()."""
    total: Array = np.asarray(np.sum(np.asarray(weights) * losses))
    return total


def uncertain_tasks(losses: Array, log_variance: Array) -> Array:
    """losses, log_variance (K,) -> ()."""
    total: Array = np.asarray(np.sum(0.5 * np.exp(-log_variance) * losses + 0.5 * log_variance))
    return total


def uncertain_tasks_backward(d_loss: Array, losses: Array, log_variance: Array) -> tuple[Array, Array]:
    """d_loss () -> d_losses, d_log_variance (K,)."""
    precision = np.exp(-log_variance)
    return d_loss * 0.5 * precision, d_loss * 0.5 * (1 - precision * losses)

r"""Several models as one.

    average      p = Σ_m w_m p_m                      probabilities, Σ w = 1
    log_average  p ∝ exp Σ_m w_m log p_m              the geometric mean
    vote         p_k = Σ_m w_m [argmax p_m = k]
    weights      θ = Σ_m w_m θ_m                      one model again: average_weights

p_m = softmax of the logits of model m, (samples, ..., V). Hansen and Salamon 1990; snapshots: Huang et
al. 2017; weights: Wortsman et al. 2022. Article 004 §9 question 9.

>>> import numpy as np
>>> import attendo as at
>>> models = [at.nn.Linear(4, 3, seed=seed) for seed in range(5)]
>>> ensemble = at.ensemble.Ensemble(models)
>>> ensemble.predict(np.zeros((2, 4), dtype="float32")).shape
(2,)
"""

from __future__ import annotations

from .classifiers import Ensemble
from .snapshots import Snapshots
from .weights import average_weights

__all__ = ["Ensemble", "Snapshots", "average_weights"]


def __dir__() -> list[str]:
    return __all__

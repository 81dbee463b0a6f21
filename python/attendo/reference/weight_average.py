"""weight_average: the average a of the weights w after n = 0, 1, 2, ... updates

  n = 0                  a ← w
  exponential (EMA)      a ← d a + (1 - d) w        d = decay; with warm-up d = min(decay, (1 + n) / (10 + n))
  equal (SWA)            a ← a + (w - a) / (n + 1)

a, w: one shape.  Polyak and Juditsky 1992; Izmailov et al. 2018 (equal weights).
"""

from ._types import Array


def weight_average(
    average: Array, weights: Array, updates: int, decay: float | None = None, warmup: bool = False
) -> Array:
    """-> the new average; decay None: all weights count the same."""
    if updates == 0:
        return weights.copy()
    if decay is None:
        return average + (weights - average) / (updates + 1)
    d = min(decay, (1 + updates) / (10 + updates)) if warmup else decay
    return d * average + (1 - d) * weights

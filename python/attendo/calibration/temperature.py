r"""One number that makes a classifier as sure as it may be.

    p = softmax(z / T),   T minimizes the negative log-likelihood of held-out data

With β = 1 / T the likelihood's slope  g(β) = mean_i (E_{p_i}[z_i] - z_{i y_i})  never falls, since its own
slope is the mean variance of z under p: one root, found by Newton's method within a bracket. Guo et al.
2017, §4.2.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .scores import rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import FloatArray, TensorLike

_WIDEST = 1e6  # T is sought from 1 / this to this, times the usual distance of the two largest logits


class TemperatureScaling:
    r"""Divides logits by a temperature that was fitted on held-out data.

    The order of the classes stays, and so does accuracy; confidence becomes what it should be.

    Parameters
    ----------
    temperature : float
        Above 0; what :meth:`fit` overwrites.

    Attributes
    ----------
    temperature : float
        Above 1 for a model that was too sure.

    Raises
    ------
    ValueError
        When temperature is not above 0 and finite.

    Notes
    -----
    .. math:: T = \arg\min_T -\frac1n \sum_i \log \mathrm{softmax}(z_i / T)_{y_i}

    References
    ----------
    Guo et al. 2017, "On Calibration of Modern Neural Networks", §4.2.

    Examples
    --------
    A model that is right three times in four, but says 98 %:

    >>> import numpy as np
    >>> import attendo as at
    >>> logits = np.tile([4.0, 0.0], (8, 1))
    >>> truth = [0, 0, 0, 1] * 2
    >>> scaling = at.calibration.TemperatureScaling().fit(logits, truth)
    >>> scaling
    TemperatureScaling(temperature=3.641)
    >>> scaling(logits)[0].round(3)
    array([0.75, 0.25])

    Source: python/attendo/calibration/temperature.py
    """

    def __init__(self, temperature: float = 1.0) -> None:
        if not 0 < temperature < math.inf:
            raise ValueError(f"TemperatureScaling: temperature is {temperature} but must be above 0")
        self.temperature = float(temperature)

    def fit(
        self,
        logits: TensorLike,
        target: ArrayLike,
        *,
        ignore_index: int | None = None,
        mask: ArrayLike | None = None,
    ) -> TemperatureScaling:
        """Find the temperature under which the targets are likeliest.

        Parameters
        ----------
        logits : array_like or Tensor, shape (..., V)
            Of data the model was not trained on. -inf for a class that is impossible.
        target : array_like of int, shape (...)
            Class indices.
        ignore_index, mask
            As of :func:`brier_score`.

        Returns
        -------
        TemperatureScaling
            Itself.

        Raises
        ------
        ValueError
            When shapes differ, a logit is NaN or inf, a target is no class or impossible, or none counts.
        TypeError
            When logits are not floats or targets not integers.

        Warns
        -----
        RuntimeWarning
            When no temperature is the best: every prediction is right (or they are no better than chance)
            and a lower (or higher) one is always better. The temperature is then a millionth of the usual
            distance of the two largest logits, or a million times it.
        """
        call = "TemperatureScaling.fit"
        z, y = rows(call, logits, target, ignore_index, mask, logits=True)
        if np.isnan(z).any() or (z == np.inf).any():
            raise ValueError(f"{call}: logits have NaN or inf")
        own = np.take_along_axis(z, y[:, None], 1)[:, 0]
        if not np.isfinite(own).all():
            raise ValueError(f"{call}: a target has logit -inf: no temperature makes it possible")
        highest = z.max(1, keepdims=True)
        z, own = z - highest, own - highest[:, 0]
        finite = np.isfinite(z)
        z = np.where(finite, z, 0.0)
        if not z.any():
            self.temperature = 1.0  # all logits are equal: every temperature is as good
            return self
        # How far the second class is behind, as a rule: further down, -1e9 may stand for "impossible".
        behind = np.where(z < 0, -z, np.inf).min(1)
        distance = float(np.median(behind[np.isfinite(behind)]))
        self.temperature = distance / _root(z / distance, own / distance, finite)
        return self

    def scale(self, logits: TensorLike) -> FloatArray:
        """logits / T, of the logits' shape and dtype."""
        z = np.asarray(logits)
        if z.dtype.kind != "f":
            raise TypeError(f"TemperatureScaling: logits have dtype {z.dtype} but must be of floats")
        scaled: FloatArray = z / z.dtype.type(self.temperature)
        return scaled

    def __call__(self, logits: TensorLike) -> FloatArray:
        """softmax(logits / T) over the last axis: probabilities of the logits' shape."""
        from ..functional import softmax

        return np.asarray(softmax(self.scale(logits)))

    def __repr__(self) -> str:
        return f"TemperatureScaling(temperature={self.temperature:.4g})"


def _root(z: NDArray[np.float64], own: NDArray[np.float64], finite: NDArray[np.bool_]) -> float:
    """β, the inverse temperature; z (n, V) have their largest, 0, the second about 1 below."""
    from ..functional import softmax

    def slopes(beta: float) -> tuple[float, float]:
        scaled: Any = softmax(np.where(finite, beta * z, -np.inf))
        mean = (scaled * z).sum(1)
        variance = (scaled * (z - mean[:, None]) ** 2).sum(1).mean()
        return float((mean - own).mean()), float(variance)

    low, high = 1 / _WIDEST, _WIDEST
    ends = ((low, 1, "predictions are no better than chance"), (high, -1, "predictions are all right"))
    for end, rises, why in ends:
        if rises * slopes(end)[0] >= 0:
            warnings.warn(
                f"TemperatureScaling.fit: no temperature is the best: {why}", RuntimeWarning, stacklevel=3
            )
            return end
    beta = 1.0
    for _ in range(200):
        slope, curvature = slopes(beta)
        low, high = (low, beta) if slope > 0 else (beta, high)
        step = beta - slope / curvature if curvature > 0 else math.nan
        if slope == 0 or abs(step - beta) <= 1e-10 * beta:
            break
        beta = step if low < step < high else math.sqrt(low * high)
    return beta

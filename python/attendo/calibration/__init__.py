"""Whether probabilities mean what they say: of what is given 80 %, 80 % should come true.

>>> import numpy as np
>>> import attendo as at
>>> p = np.array([[0.8, 0.2]] * 10)
>>> truth = [0] * 6 + [1] * 4
>>> round(at.calibration.expected_calibration_error(p, truth), 6)
0.2
"""

from __future__ import annotations

from .reliability import ReliabilityCurve, expected_calibration_error, reliability_curve
from .scores import brier_score, negative_log_likelihood
from .temperature import TemperatureScaling

__all__ = [
    "ReliabilityCurve",
    "TemperatureScaling",
    "brier_score",
    "expected_calibration_error",
    "negative_log_likelihood",
    "reliability_curve",
]


def __dir__() -> list[str]:
    return __all__

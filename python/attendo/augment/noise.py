"""Noise added to numbers."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import isfinite
from typing import Any

import numpy as np

from .base import Arrays, Augmentation, check_generator, check_whole, chosen, floats, replaced


@dataclass(frozen=True)
class GaussianNoise(Augmentation):
    """Add normal noise to every number of an input of any shape.

    Parameters
    ----------
    std : float
        Standard deviation, 0 or more.
    clip : (low, high), optional
        Bounds of the result.
    input : int
        Which of the inputs.

    Raises
    ------
    ValueError
        When std or input is below 0, or clip is no (low, high).
    TypeError
        At the call, when the input is neither float32 nor float64, or rng is no Generator.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> (noisy,), _ = at.augment.GaussianNoise(0.1)((np.zeros(3),), (), np.random.default_rng(0))
    >>> noisy.round(2)
    array([ 0.01, -0.01,  0.06])

    Source: python/attendo/augment/noise.py
    """

    std: float
    _: KW_ONLY
    clip: tuple[float, float] | None = None
    input: int = 0

    def __post_init__(self) -> None:
        if not (isfinite(self.std) and self.std >= 0):
            raise ValueError(f"GaussianNoise: std is {self.std} but must be 0 or more")
        clip: Any = self.clip
        if clip is not None and not (len(clip) == 2 and clip[0] <= clip[1]):
            raise ValueError(f"GaussianNoise: clip is {clip} but must be (low, high)")
        check_whole("GaussianNoise", "input", self.input, 0)

    def __call__(self, inputs: Arrays, targets: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """Add noise to an input."""
        check_generator("GaussianNoise", rng)
        values = floats("GaussianNoise", self.input, chosen("GaussianNoise", "input", inputs, self.input))
        noisy = values + values.dtype.type(self.std) * rng.standard_normal(values.shape, dtype=values.dtype)
        if self.clip is not None:
            noisy = np.clip(noisy, *(values.dtype.type(bound) for bound in self.clip))
        return replaced(inputs, self.input, noisy), targets

"""Mixtures of two samples and of their targets.

    x̃ = λ x_i + (1 - λ) x_j,   ỹ = λ y_i + (1 - λ) y_j,   λ ~ Beta(α, α),  j a permutation of the batch

x: (N, ...) floats;  y: (N, V) one-hot or probabilities.   Zhang et al. 2018, "mixup", §2.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Arrays, Augmentation, check_generator, check_whole, chosen, floats, replaced

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Mixup(Augmentation):
    r"""Mix every sample with another of its batch, and their targets by the same share.

    Parameters
    ----------
    alpha : float
        :math:`\alpha` of the share :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, above 0: near 0 the
        samples stay as they are, at 1 every share has the same chance.
    num_classes : int, optional
        Classes V; needed when the targets are class indices.
    per_sample : bool
        A share for each sample; otherwise, as in the paper's code, one for the whole batch.
    input, target : int
        Which of the inputs and of the targets are mixed.

    Raises
    ------
    ValueError
        When alpha is not above 0; at the call, when there is not a target a sample, or targets are class
        indices and num_classes is missing or they are not below it.
    TypeError
        At the call, when the input is neither float32 nor float64, targets are neither floats nor integers,
        or rng is no Generator.

    Notes
    -----
    .. math::

        \tilde x = \lambda x_i + (1 - \lambda) x_{\pi(i)}, \qquad \tilde y = \lambda y_i + (1 - \lambda)
        y_{\pi(i)}

    Class indices (N,) come back as probabilities (N, V) of the input's dtype, which
    :class:`attendo.losses.CrossEntropy` takes as well; other floats (N, ...) are mixed as they are.

    References
    ----------
    Zhang et al. 2018, "mixup: Beyond empirical risk minimization", §2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> mix = at.augment.Mixup(1.0, num_classes=2)
    >>> x, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    >>> (x,), (y,) = mix((x,), (y,), np.random.default_rng(3))
    >>> x.round(2).tolist(), y.round(2).tolist()
    ([[0.73], [0.27]], [[0.27, 0.73], [0.73, 0.27]])

    Source: python/attendo/augment/mixup.py
    """

    alpha: float
    num_classes: int | None = None
    _: KW_ONLY
    per_sample: bool = False
    input: int = 0
    target: int = 0

    def __post_init__(self) -> None:
        if not (isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"Mixup: alpha is {self.alpha} but must be above 0")
        if self.num_classes is not None:
            check_whole("Mixup", "num_classes", self.num_classes, 1)
        check_whole("Mixup", "input", self.input, 0)
        check_whole("Mixup", "target", self.target, 0)

    def __call__(self, inputs: Arrays, targets: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """Mix the samples of a batch."""
        check_generator("Mixup", rng)
        x = floats("Mixup", self.input, chosen("Mixup", "input", inputs, self.input))
        if x.ndim < 1:
            raise ValueError(f"Mixup: inputs[{self.input}] is a single number but must be (samples, ...)")
        y = self._probabilities(np.asarray(chosen("Mixup", "target", targets, self.target)), x)
        count = len(x)
        share = rng.beta(self.alpha, self.alpha, count if self.per_sample else 1)
        other = rng.permutation(count)

        def mixed(values: NDArray[Any]) -> NDArray[Any]:
            own = share.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
            out: NDArray[Any] = own * values + (1 - own) * values[other]
            return out

        return replaced(inputs, self.input, mixed(x)), replaced(targets, self.target, mixed(y))

    def _probabilities(self, y: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        where = f"Mixup: targets[{self.target}]"
        if y.ndim < 1 or len(y) != len(x):
            raise ValueError(f"{where} has shape {y.shape} but must have {len(x)} samples")
        if y.dtype in (np.float32, np.float64):
            return y
        if y.dtype.kind not in "iu":
            raise TypeError(f"{where} has dtype {y.dtype} but must be class indices, float32 or float64")
        if self.num_classes is None:
            raise ValueError("Mixup: num_classes is missing, and targets are class indices")
        if y.ndim != 1:
            raise ValueError(f"{where} has shape {y.shape} but class indices must be (samples,)")
        if y.size and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            wrong = int(y.min()) if int(y.min()) < 0 else int(y.max())
            raise ValueError(f"{where} holds {wrong} but must hold 0 to {self.num_classes - 1}")
        one_hot = np.zeros((len(y), self.num_classes), dtype=x.dtype)
        one_hot[np.arange(len(y)), y] = 1
        return one_hot

"""Accuracy over the strength of noise or of an attack, with what random draws leave open.

    mean_k ± t_{0.975, n-1} s_k / √n        of n trials at strength k, each with its own draw

The draws of a trial are the same at every strength, so that a curve is smooth and two models are compared on
the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _core
from .._arguments import number_of_metric, whole_number
from .._evaluation import accuracy, as_evaluated, generator, predicted, sliced
from ._attack import Attack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module, Tensor
    from .._typing import TensorLike
    from ..viz import Picture

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EvaluationCurve:
    """What :func:`evaluation_curve` gives.

    Attributes
    ----------
    strengths : ndarray, shape (K,)
    values : ndarray, shape (K, trials)
        The metric at each strength and trial.
    mean, low, high : ndarray, shape (K,)
        The mean over the trials, and the bounds of its 95 % interval.
    metric : str
        What the values are.

    Source: python/attendo/robust/curve.py
    """

    strengths: Floats
    values: Floats
    metric: str = "accuracy"

    @property
    def mean(self) -> Floats:
        """The mean over the trials, (K,)."""
        out: Floats = self.values.mean(axis=1)
        return out

    @property
    def _margin(self) -> Floats:
        trials = self.values.shape[1]
        # The same value in every trial has no spread, whatever the mean was rounded to.
        same = (self.values == self.values[:, :1]).all(axis=1)
        spread = np.where(same, 0.0, self.values.std(axis=1, ddof=1))
        out: Floats = _student(trials - 1) * spread / sqrt(trials)
        return out

    @property
    def low(self) -> Floats:
        """The lower bound of the mean's 95 % interval, (K,)."""
        return self._within(self.mean - self._margin)

    @property
    def high(self) -> Floats:
        """The upper bound of the mean's 95 % interval, (K,)."""
        return self._within(self.mean + self._margin)

    def _within(self, bound: Floats) -> Floats:
        return np.clip(bound, 0.0, 1.0) if self.metric == "accuracy" else bound

    def rows(self) -> list[dict[str, float]]:
        """A dict for each strength: strength, mean, low, high."""
        columns = {"strength": self.strengths, "mean": self.mean, "low": self.low, "high": self.high}
        return [
            {name: float(column[k]) for name, column in columns.items()} for k in range(len(self.strengths))
        ]

    def __str__(self) -> str:
        lines = [f"{'strength':>10} {self.metric:>10} {'95 % interval':>17}"]
        lines += [
            f"{row['strength']:>10.4g} {row['mean']:>10.4f} {row['low']:>8.4f} {row['high']:>8.4f}"
            for row in self.rows()
        ]
        return "\n".join(lines)

    def picture(self, title: str = "") -> Picture:
        """The curve with its interval as a band."""
        from .picture import curves

        return curves({self.metric: self}, title=title)

    def _repr_html_(self) -> str:
        return self.picture()._repr_html_()


def evaluation_curve(
    model: Module,
    inputs: TensorLike | tuple[TensorLike, ...],
    target: TensorLike | tuple[TensorLike, ...],
    strengths: Sequence[float] | NDArray[Any],
    perturb: Attack | Callable[..., tuple[Any, ...]] | Literal["gaussian", "uniform"] = "gaussian",
    *,
    loss: Callable[..., Tensor] | None = None,
    metric: Callable[[Any, Any], float] | None = None,
    trials: int = 5,
    seed: int = 0,
    batch_size: int = 256,
    input: int = 0,
) -> EvaluationCurve:
    r"""How accuracy falls as noise or an attack grows, over random draws.

    Parameters
    ----------
    model : Module
        Run in evaluation mode; it stays as it is.
    inputs : array_like or tuple of array_like, shape (samples, ...)
        What the model takes.
    target : array_like or tuple of array_like, shape (samples, ...)
        The right answers.
    strengths : sequence of float, shape (K,)
        Increasing or not, 0 or more.
    perturb : {"gaussian", "uniform"}, FGSM, PGD or callable
        Noise whose standard deviation, or whose half width, is the strength; an attack, whose ``eps`` is the
        strength and whose step grows with it; or ``perturb(inputs, strength, rng)``, which gives a tuple of
        inputs: tokens dropped with that probability, for example.
    loss : callable, optional
        What an attack makes larger; cross-entropy where it is not given.
    metric : callable, optional
        ``metric(prediction, target)`` over all samples gives a number; where it is not given, accuracy: the
        share of targets whose logit is the largest.
    trials : int
        Draws of the noise, or of an attack's start, at each strength, 2 or more.
    seed : int
        Decides all draws.
    batch_size : int
        Samples at a time; changes nothing but memory, speed and rounding.
    input : int
        Which input "gaussian" and "uniform" act on; it must be of floats.

    Returns
    -------
    EvaluationCurve
        Arrays, a table (``print``) and a picture.

    Raises
    ------
    ValueError
        When there are no samples or strengths, a strength is negative or not finite, or trials is below 2.
    TypeError
        When noise or an attack meets integers, or metric gives no number.

    Notes
    -----
    The interval is that of the mean over draws, :math:`\bar a \pm t_{0.975, n-1}\, s / \sqrt n`; that other
    samples would have given another accuracy is not in it.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> model = at.nn.Linear(2, 2, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.1))
    >>> history = trainer.fit(x, y, epochs=20, progress=False)
    >>> curve = at.robust.evaluation_curve(model, x, y, [0.0, 0.5, 2.0])
    >>> bool(curve.mean[0] > 0.98 and curve.low[0] > curve.high[1] > curve.low[1] > curve.high[2])
    True

    Source: python/attendo/robust/curve.py
    """
    levels = np.asarray(strengths, dtype=np.float64)
    if levels.ndim != 1 or not levels.size:
        raise ValueError(f"evaluation_curve: strengths has shape {levels.shape} but must be (K,)")
    if not (np.isfinite(levels).all() and levels.min() >= 0):
        raise ValueError("evaluation_curve: strengths must be finite and 0 or more")
    whole_number("evaluation_curve", "trials", trials, 2)
    whole_number("evaluation_curve", "batch_size", batch_size, 1)
    if metric is not None and not callable(metric):
        raise TypeError(f"evaluation_curve: metric is a {type(metric).__name__} but must be a function")
    given = tuple(inputs) if isinstance(inputs, tuple) else (inputs,)
    given = sliced(given, slice(None))
    if not given or not len(given[0]):
        raise ValueError("evaluation_curve: inputs has no samples")
    wanted = sliced(target, slice(None)) if isinstance(target, tuple) else sliced((target,), slice(None))[0]
    disturb = _disturbance(perturb, model, loss or _core.CrossEntropy(), wanted, input, batch_size)
    measure = metric or accuracy
    values = np.empty((len(levels), trials))
    repeated = isinstance(perturb, Attack) and not perturb.random
    with as_evaluated(model):
        for k, strength in enumerate(levels.tolist()):
            for trial in range(1 if repeated else trials):
                changed = disturb(given, strength, generator(seed, "evaluation_curve", trial))
                prediction = predicted(model, changed, batch_size, "evaluation_curve")
                values[k, trial] = number_of_metric("evaluation_curve", measure(prediction, wanted))
            if repeated:
                values[k] = values[k, 0]
    return EvaluationCurve(
        levels, values, "accuracy" if metric is None else getattr(metric, "__name__", "metric")
    )


def _disturbance(
    perturb: Any, model: Module, loss: Callable[..., Tensor], target: Any, index: int, batch_size: int
) -> Callable[[tuple[Any, ...], float, np.random.Generator], tuple[Any, ...]]:
    if isinstance(perturb, Attack):
        attack: Attack = perturb

        def attacked(given: tuple[Any, ...], strength: float, rng: np.random.Generator) -> tuple[Any, ...]:
            out: tuple[Any, ...] = attack.at(strength)(model, loss, given, target, rng, batch_size=batch_size)
            return out

        return attacked
    if perturb in ("gaussian", "uniform"):

        def noisy(given: tuple[Any, ...], strength: float, rng: np.random.Generator) -> tuple[Any, ...]:
            if not 0 <= index < len(given):
                raise ValueError(f"evaluation_curve: input is {index} but there are {len(given)} inputs")
            x = given[index]
            if x.dtype not in (np.float32, np.float64):
                raise TypeError(
                    f"evaluation_curve: inputs[{index}] has dtype {x.dtype} but must be float32 or float64; "
                    "for ids give perturb(inputs, strength, rng)"
                )
            draw = rng.standard_normal(x.shape) if perturb == "gaussian" else rng.uniform(-1, 1, x.shape)
            return (*given[:index], (x + strength * draw).astype(x.dtype), *given[index + 1 :])

        return noisy
    if not callable(perturb):
        raise TypeError(
            f"evaluation_curve: perturb is {perturb!r} but must be 'gaussian', 'uniform', an attack or a "
            "function"
        )

    def own(given: tuple[Any, ...], strength: float, rng: np.random.Generator) -> tuple[Any, ...]:
        out = perturb(given, strength, rng)
        return out if isinstance(out, tuple) else (out,)

    return own


# t_{0.975} of 1 to 30 degrees of freedom.
_STUDENT = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


def _student(degrees: int) -> float:
    """The 97.5 % point of Student's t; beyond 30 degrees by its series in 1 / degrees."""
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)

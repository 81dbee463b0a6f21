"""A learning rate to begin with, from one short run with ever larger ones."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import schedules
from .._arguments import real_number, whole_number
from ..callbacks import Callback

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..callbacks import Info
    from .trainer import Trainer

_SMOOTHING = 0.9
_DIVERGED = 4.0


@dataclass(frozen=True)
class LearningRates:
    """What :meth:`attendo.train.Trainer.find_lr` measured.

    Attributes
    ----------
    lrs, losses : ndarray of float64, shape (steps,)
        The rates tried, and the loss at each, smoothed.
    suggestion : float
        The rate at which the loss fell fastest: a place to begin, not the best there is.
    """

    lrs: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float

    def __repr__(self) -> str:
        first, last = self.lrs[0], self.lrs[-1]
        return (
            f"LearningRates({len(self.lrs)} from {first:.2g} to {last:.2g}, suggestion {self.suggestion:.2g})"
        )


class _Sweep(Callback):
    """Another rate after every batch, until the loss is far above its lowest."""

    def __init__(self, lrs: NDArray[np.float64]) -> None:
        self.lrs, self.losses = lrs, list[float]()
        self._mean, self._lowest = 0.0, np.inf

    def on_batch_end(self, trainer: Trainer, info: Info) -> None:
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * info["loss"]
        n = len(self.losses) + 1
        smooth = self._mean / (1 - _SMOOTHING**n)
        self.losses.append(smooth)
        self._lowest = min(self._lowest, smooth)
        if n == len(self.lrs) or smooth > _DIVERGED * abs(self._lowest) + 1e-12:
            trainer.stop()
        else:
            trainer.optimizer.schedule = schedules.constant(float(self.lrs[n]))


def find_lr(
    trainer: Trainer, lowest: float, highest: float, steps: int, samples: dict[str, Any]
) -> LearningRates:
    """The work of :meth:`attendo.train.Trainer.find_lr`, which documents it."""
    from .trainer import Trainer

    for name, value in (("lowest", lowest), ("highest", highest)):
        real_number("find_lr", name, value)
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"find_lr: {name} is {value} but must be above 0 and finite")
    if not lowest < highest:
        raise ValueError(f"find_lr: lowest is {lowest} but must be below highest, {highest}")
    whole_number("find_lr", "steps", steps, 5)
    model, optimizer = trainer.model, trainer.optimizer
    learned = [*model.named_parameters(), *model.named_buffers(), *trainer.loss.parameters().items()]
    before = [(tensor, tensor.numpy().copy()) for _, tensor in learned]
    for i, group in enumerate(optimizer.config.get("groups") or ()):
        if "lr" in group:
            raise ValueError(
                f"find_lr: groups[{i}] of the optimizer has an lr of its own, which does not move with the "
                "others; give it lr_scale"
            )
    state, schedule = optimizer.state, optimizer.schedule
    objective = trainer.objective
    known = None if objective is None else deepcopy(objective.state_dict())
    sweep = _Sweep(np.geomspace(lowest, highest, steps))
    try:
        optimizer.schedule = schedules.constant(lowest)
        probe = Trainer(model, trainer.loss, optimizer, objective=objective, **trainer.probe_settings())
        try:
            probe.fit(**samples, epochs=steps, callbacks=[sweep], progress=False)
        except ValueError as error:
            if "the loss is" not in str(error) or len(sweep.losses) < 2:
                raise
    finally:
        for tensor, values in before:
            tensor.assign(values)
        optimizer.schedule = schedule  # whose kind the state is of
        optimizer.load_state(state)
        if objective is not None and known is not None:
            objective.load_state_dict(known)
    losses = np.array(sweep.losses)
    lrs = sweep.lrs[: len(losses)]
    return LearningRates(lrs, losses, float(lrs[_steepest(np.log(lrs), losses)]))


def _steepest(x: NDArray[np.float64], y: NDArray[np.float64]) -> int:
    """Where a straight line through the points around falls most: one batch is no trend."""
    reach = max(1, len(x) // 10)
    slopes = [
        np.polyfit(x[max(0, i - reach) : i + reach + 1], y[max(0, i - reach) : i + reach + 1], 1)[0]
        for i in range(len(x))
    ]
    return int(np.argmin(slopes))

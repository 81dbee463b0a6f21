"""An ensemble from one training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..callbacks import Callback
from ..metrics._pairs import whole
from .classifiers import Ensemble

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Module
    from ..callbacks import Info
    from ..train import Trainer
    from .classifiers import Method


class Snapshots(Callback):
    """Keeps the parameters at the end of each cycle of the learning rate: an ensemble from one training.

    Parameters
    ----------
    every_epochs : int, optional
        A snapshot after so many epochs, 1 or more: the length of a cycle.
    every_steps : int, optional
        Or after so many optimizer steps.
    keep : int, optional
        The newest so many stay; all when not given.

    Attributes
    ----------
    states : list of dict
        What ``state_dict()`` gave at each time, oldest first.

    Raises
    ------
    ValueError
        When both or neither of the first two are given, or one is below 1.

    Notes
    -----
    Epochs and steps count from the beginning of each call to ``fit``; the states of several calls add up.
    With a cosine that starts again at every cycle each snapshot is another minimum: this is what differs
    from the last epochs of a usual training, which are all near one.

    References
    ----------
    Huang et al. 2017, "Snapshot Ensembles: Train 1, Get M for Free".

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x, y = np.eye(4, dtype="float32"), np.arange(4) % 2
    >>> model = at.nn.Linear(4, 2, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.SGD(lr=0.1))
    >>> snapshots = at.ensemble.Snapshots(every_epochs=2)
    >>> history = trainer.fit(x, y, epochs=6, callbacks=[snapshots], progress=False)
    >>> snapshots.ensemble(model)
    Ensemble(3 models, method='average')

    Source: python/attendo/ensemble/snapshots.py
    """

    def __init__(
        self, every_epochs: int | None = None, *, every_steps: int | None = None, keep: int | None = None
    ) -> None:
        if (every_epochs is None) == (every_steps is None):
            raise ValueError("Snapshots: give either every_epochs or every_steps")
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps), ("keep", keep)):
            if value is not None:
                whole("Snapshots", name, value, 1)
        self._every_epochs, self._every_steps = every_epochs, every_steps
        self._keep = math.inf if keep is None else keep
        self.states: list[dict[str, Any]] = []

    def _take(self, trainer: Trainer) -> None:
        self.states.append(trainer.model.state_dict())
        while len(self.states) > self._keep:
            del self.states[0]

    def on_batch_end(self, trainer: Trainer, info: Info) -> None:
        """With every_steps: is it time?"""
        if self._every_steps is not None and info["step"] % self._every_steps == 0:
            self._take(trainer)

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """With every_epochs: is it time?"""
        if self._every_epochs is not None and (info["epoch"] + 1) % self._every_epochs == 0:
            self._take(trainer)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"states": self.states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.states = list(state["states"])

    def ensemble(
        self, model: Module, method: Method = "average", weights: ArrayLike | None = None
    ) -> Ensemble:
        """The snapshots as one classifier: :meth:`Ensemble.of_states`."""
        return Ensemble.of_states(model, self.states, method, weights)

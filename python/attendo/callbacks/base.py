"""A callback, and what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from ..train import Trainer


class Info(TypedDict):
    """Where training stands."""

    step: int  #: optimizer steps made in this call to ``fit``
    steps: int  #: steps this call will make
    epoch: int  #: from 0
    epochs: int
    loss: float  #: of the last batch
    lr: float  #: of the last step
    steps_per_second: float
    seconds: float


class Callback:
    """Does nothing; override what you need."""

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first batch."""

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Between two batches, about every 50 ms, and at the end of each epoch."""

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """After an epoch and its validation."""

    def on_train_end(self, trainer: Trainer) -> None:
        """After the last batch, and when training stops early or with an error."""

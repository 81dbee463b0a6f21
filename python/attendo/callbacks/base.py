"""A callback, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from ..train import Trainer


class Info(TypedDict, total=False):
    """Where training stands; at the end of an epoch also the numbers of its validation, ``val_...``."""

    step: int  #: optimizer steps made in this call to ``fit``
    steps: int | None  #: steps this call will make; None where only the end of the batches tells
    epoch: int  #: from 0
    epochs: int
    loss: float  #: of the last batch
    lr: float  #: of the last step
    steps_per_second: float
    seconds: float
    epoch_loss: float  #: at the end of an epoch: its mean loss
    val_loss: float
    val_accuracy: float


class Callback:
    """Does nothing; override what you need."""

    #: True for a callback that must see what the others have done.
    runs_last: bool = False
    #: True for one that shows or writes something: of several processes (attendo.train.Distributed) the first
    #: alone runs it. All others run in every process, as what they change must change in all.
    first_process_only: bool = False

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first batch."""

    def on_batch_end(self, trainer: Trainer, info: Info) -> None:
        """After every batch (with ``accumulate``, after every step)."""

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Between two batches, about every 50 ms, and at the end of each epoch."""

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """After an epoch and its validation."""

    def on_train_end(self, trainer: Trainer) -> None:
        """After the last batch, and when training stops early or with an error."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of it: numbers, text, lists, dicts, arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, before ``on_train_begin``."""


#: What tells how far the call to ``fit`` is, not how training goes.
_ABOUT_THE_CALL = frozenset({"step", "steps", "epochs", "seconds"})


def numbers(info: Mapping[str, Any]) -> dict[str, float | int]:
    """The numbers in an info that say how training goes: ``epoch``, ``loss``, ``lr``, ``val_loss``, …"""
    found: dict[str, float | int] = {}
    for name, value in info.items():
        if name in _ABOUT_THE_CALL or isinstance(value, bool) or not isinstance(value, Real):
            continue
        found[name] = int(value) if isinstance(value, Integral) else float(value)
    return found

"""What a Trainer calls between batches: an object with any of the four methods of :class:`Callback`.

>>> import numpy as np
>>> import attendo as at
>>> class Report(at.callbacks.Callback):
...     def on_epoch_end(self, trainer, info):
...         print(f"epoch {info['epoch'] + 1} of {info['epochs']}: {info['step']} steps")
>>> x = np.ones((8, 1), dtype="float32")
>>> trainer = at.train.Trainer(at.nn.Linear(1, 1), at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
>>> history = trainer.fit(x, x, epochs=2, batch_size=4, callbacks=[Report()], progress=False)
epoch 1 of 2: 2 steps
epoch 2 of 2: 4 steps
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from .train import Trainer

__all__ = ["Callback", "Info", "ProgressBar"]


def __dir__() -> list[str]:
    return __all__


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


class ProgressBar(Callback):
    """Loss, speed and remaining time, by tqdm: in a notebook, or in a terminal; quiet where there is none.

    Parameters
    ----------
    always : bool
        Show it also when the output is not a terminal.
    """

    def __init__(self, always: bool = False) -> None:
        self._always = always
        self._bar: Any = None

    def on_train_begin(self, trainer: Trainer) -> None:
        """Nothing is shown before the number of steps is known."""
        self._bar = None

    def on_step(self, trainer: Trainer, info: Info) -> None:
        """Move the bar."""
        if self._bar is None:
            from tqdm.auto import tqdm

            in_notebook = "ipykernel" in sys.modules
            quiet = not (self._always or in_notebook or sys.stderr.isatty())
            self._bar = tqdm(total=info["steps"], unit="step", disable=quiet, dynamic_ncols=True)
        self._bar.update(info["step"] - self._bar.n)
        shown = {"loss": f"{info['loss']:.4f}", "lr": f"{info['lr']:.2e}", "epoch": info["epoch"] + 1}
        self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: Trainer) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

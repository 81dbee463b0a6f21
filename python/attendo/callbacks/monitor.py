"""Callbacks that follow one number from epoch to epoch: stopping early, keeping the best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from .._arguments import real_number, whole_number
from .base import Callback, Info

if TYPE_CHECKING:
    from ..train import Trainer

    Mode = Literal["auto", "min", "max"]


# How names end of which less, or more, is better.
_LESS = ("loss", "error", "perplexity", "mae", "mse", "rmse", "nll", "negative_log_likelihood", "brier_score")
_MORE = ("accuracy", "f1", "precision", "recall", "auc", "bleu", "chrf")


class Monitor:
    """The best value of a number so far.

    Parameters
    ----------
    name : str
        What callbacks are told at the end of an epoch: "val_loss", "val_accuracy", "epoch_loss", ...
    mode : "auto", "min" or "max"
        Whether less or more is better. "auto" knows it of names that end in "loss", "error", "perplexity",
        "mae", "mse", "rmse", "nll", "brier_score", and in "accuracy", "f1", "precision", "recall", "auc",
        "bleu", "chrf".
    min_delta : float
        How much better a value must be to count as better, 0 or more.

    Raises
    ------
    ValueError
        When mode or min_delta is none of these.
    """

    def __init__(self, call: str, name: str, mode: Mode, min_delta: float = 0.0) -> None:
        if not name or not isinstance(name, str):
            raise TypeError(f"{call}: monitor is {name!r} but must be a name such as 'val_loss'")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{call}: mode is {mode!r} but must be 'auto', 'min' or 'max'")
        real_number(call, "min_delta", min_delta)
        if not min_delta >= 0:
            raise ValueError(f"{call}: min_delta is {min_delta} but must be 0 or more")
        self._call, self.name, self.min_delta = call, name, float(min_delta)
        if mode == "auto":
            mode = self._known(name)
        self.sign = 1.0 if mode == "min" else -1.0
        self.best: float | None = None

    def _known(self, name: str) -> Mode:
        if name.endswith(_LESS):
            return "min"
        if name.endswith(_MORE):
            return "max"
        raise ValueError(
            f"{self._call}: mode is 'auto' but {name!r} does not tell whether less or more is better: "
            "give mode='min' or mode='max'"
        )

    def value(self, info: Info) -> float:
        """The number at the end of this epoch.

        Raises
        ------
        ValueError
            When the epoch has none of that name.
        """
        if self.name not in info:
            known = [key for key, value in info.items() if isinstance(value, float)]
            raise ValueError(
                f"{self._call}: monitor is {self.name!r} but an epoch gives {', '.join(sorted(known))}"
                + ("" if "val_loss" in info else "; val_... come with validation=")
            )
        return float(info[self.name])  # type: ignore[literal-required]

    def is_better(self, value: float) -> bool:
        """Whether it is better than all before it; it is remembered then. NaN never is."""
        if math.isnan(value):
            return False
        if self.best is not None and not self.sign * value < self.sign * self.best - self.min_delta:
            return False
        self.best = value
        return True


def measured_state(trainer: Trainer) -> dict[str, Any]:
    """Of the model as validation saw it: with the average of the weights, where there is one."""
    with trainer.averaged():
        return trainer.model.state_dict()


class EarlyStopping(Callback):
    """Ends training when a number has not got better for some epochs.

    Parameters
    ----------
    monitor : str
        What to follow: "val_loss", "val_accuracy", "epoch_loss", "val_" and a metric of the Trainer.
    patience : int
        So many epochs in a row without a better value end training; 1 or more.
    min_delta : float
        How much better counts as better, 0 or more.
    mode : "auto", "min" or "max"
        Whether less or more is better. "auto" knows it of names that end in "loss", "error", "perplexity",
        "mae", "mse", "rmse", "nll", "brier_score", and in "accuracy", "f1", "precision", "recall", "auc",
        "bleu", "chrf".
    restore_best : bool
        Put the parameters of the best epoch back when training ends, but for an error or Ctrl-C.

    Attributes
    ----------
    best : float or None
        The best value so far.
    stopped_epoch : int or None
        The epoch (from 0) after which training was ended.

    Raises
    ------
    ValueError, TypeError
        When one is not what it must be; in fit, when an epoch has no such number.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(lr=0.5))
    >>> stopping = at.callbacks.EarlyStopping("val_loss", patience=2)
    >>> history = trainer.fit(x, 2 * x, epochs=500, validation=(x, 2 * x), callbacks=[stopping],
    ...                       progress=False)
    >>> len(history["loss"]) < 500, stopping.best == float(history["val_loss"].min())
    (True, True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        restore_best: bool = False,
    ) -> None:
        whole_number("EarlyStopping", "patience", patience, 1)
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self._patience, self._restore = patience, restore_best
        self._bad_epochs = 0
        self._best_state: dict[str, Any] | None = None
        self._running = False
        self.stopped_epoch: int | None = None

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._monitor.best

    def on_train_begin(self, trainer: Trainer) -> None:
        """Begins anew, unless a run is gone on with."""
        if not self._running:
            self._monitor.best, self._bad_epochs, self._best_state = None, 0, None
        self._running, self.stopped_epoch = True, None

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Look at the number."""
        if self._monitor.is_better(self._monitor.value(info)):
            self._bad_epochs = 0
            if self._restore:
                self._best_state = measured_state(trainer)
            return
        self._bad_epochs += 1
        if self._bad_epochs >= self._patience:
            self.stopped_epoch = info["epoch"]
            trainer.stop()

    def on_train_end(self, trainer: Trainer) -> None:
        """Put the best parameters back, where that was asked for."""
        self._running = False
        if self._best_state is not None and not trainer.interrupted:
            trainer.model.load_state_dict(self._best_state)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {
            "changes_training": True,
            "best": self._monitor.best,
            "bad_epochs": self._bad_epochs,
            "best_state": self._best_state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._monitor.best = state["best"]
        self._bad_epochs = int(state["bad_epochs"])
        self._best_state = state["best_state"]
        self._running = True


class BestModel(Callback):
    """Keeps the parameters of the best epoch, and puts them back when training ends.

    Parameters
    ----------
    monitor : str
        What to follow, as in :class:`EarlyStopping`.
    mode : "auto", "min" or "max"
        Whether less or more is better.

    Attributes
    ----------
    best : float or None
        The best value.
    best_epoch : int or None
        Its epoch, from 0.

    Raises
    ------
    ValueError, TypeError
        When one is not what it must be; in fit, when an epoch has no such number.

    Examples
    --------
    >>> import attendo as at
    >>> at.callbacks.BestModel("val_accuracy").best is None
    True
    """

    def __init__(self, monitor: str = "val_loss", *, mode: Mode = "auto") -> None:
        self._monitor = Monitor("BestModel", monitor, mode)
        self._state: dict[str, Any] | None = None
        self._running = False
        self.best_epoch: int | None = None

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._monitor.best

    def on_train_begin(self, trainer: Trainer) -> None:
        """Begins anew, unless a run is gone on with."""
        if not self._running:
            self._monitor.best, self._state, self.best_epoch = None, None, None
        self._running = True

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Look at the number, and keep a copy when it is the best."""
        if self._monitor.is_better(self._monitor.value(info)):
            self._state, self.best_epoch = measured_state(trainer), info["epoch"]

    def on_train_end(self, trainer: Trainer) -> None:
        """Put the best parameters back."""
        self._running = False
        if self._state is not None and not trainer.interrupted:
            trainer.model.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {
            "changes_training": True,
            "best": self._monitor.best,
            "best_epoch": self.best_epoch,
            "state": self._state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self._state = state["state"]
        self._running = True

"""Checkpoints while training goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._arguments import real_number, whole_number
from .base import Callback, Info
from .monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from .. import _core
    from .._typing import PathLike
    from ..train import Trainer
    from .monitor import Mode

    # What a file holds, from the entries of a copy; and where it goes.
    _File = Callable[[Trainer, list[Any]], tuple[Path, Any]]


class Checkpoint(Callback):
    """Writes what training needs to go on: with :func:`attendo.train.resume` it ends with the same bits.

    Parameters
    ----------
    folder : str or path
        Where; made if it is not there. One run a folder.
    every_epochs : int, optional
        A checkpoint after so many epochs; None for none.
    every_steps : int, optional
        And after so many optimizer steps.
    every_seconds : float, optional
        And when so much time has passed, above 0.
    keep : int
        So many of the newest stay, 1 or more. Keep 2 at least, so that there is one before a damaged one.
    best : str, optional
        The model of the best epoch by this number ("val_loss", ...) is written to ``best.safetensors``, for
        :func:`attendo.load`.
    mode : "auto", "min" or "max"
        Whether less or more of it is better.

    Attributes
    ----------
    best : float or None
        The best value so far.

    Raises
    ------
    ValueError, TypeError
        When one is not what it must be; in fit, when an epoch has no number of the name ``best``.
    FileExistsError
        In fit, when the folder holds the checkpoints of another run.
    OSError
        In fit, when the first or the last checkpoint cannot be written. Between them, what cannot be written
        (a full disk) is a RuntimeWarning, training goes on, and the checkpoints before stay.

    Notes
    -----
    Training stands still while the numbers are copied; another thread writes them. While it has not finished,
    what is due is left out, but for the last and the best. A file is written beside its place, synced, and
    renamed; it holds parameters, buffers, the optimizer with its schedule, the place in the data order, the
    history and what callbacks know, with a checksum.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = at.callbacks.Checkpoint(folder)
    ...     history = trainer.fit(x, 2 * x, epochs=3, callbacks=[checkpoint], progress=False)
    ...     'checkpoint-0000000003.safetensors' in os.listdir(folder)
    True
    """

    runs_last = True

    first_process_only = True

    def __init__(
        self,
        folder: PathLike,
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        keep: int = 2,
        best: str | None = None,
        mode: Mode = "auto",
    ) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps), ("keep", keep)):
            if value is None and name != "keep":
                continue
            whole_number("Checkpoint", name, value, 1)
        if every_seconds is not None:
            real_number("Checkpoint", "every_seconds", every_seconds)
            if not every_seconds > 0:
                raise ValueError(f"Checkpoint: every_seconds is {every_seconds} but must be above 0")
        self.folder = Path(folder)
        self._every_epochs, self._every_steps, self._every_seconds = every_epochs, every_steps, every_seconds
        self._keep = keep
        self._monitor = None if best is None else Monitor("Checkpoint", best, mode)
        self._settings = {
            "every_epochs": every_epochs,
            "every_steps": every_steps,
            "every_seconds": every_seconds,
            "keep": keep,
            "best": best,
            "mode": mode,
        }
        self._snapshot: _core.Snapshot | None = None
        self._averaged: _core.Snapshot | None = None  # with the average of the weights in the model
        self._thread: Thread | None = None
        self._error: OSError | None = None
        self._resumed = False
        self._steps_written = -1
        self._last_time = 0.0

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return None if self._monitor is None else self._monitor.best

    def on_train_begin(self, trainer: Trainer) -> None:
        """Write the first one, so that there is always one to go on from."""
        from .. import _core
        from ..train.checkpoint import checkpoints_in

        self._wait()  # of a fit that ended badly
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.partial"):  # of a run that was killed while it wrote
            left.unlink(missing_ok=True)
        if not self._resumed:
            if self._monitor is not None:
                self._monitor.best = None
            if trainer.folder != self.folder.resolve() and checkpoints_in(self.folder):
                raise FileExistsError(
                    f"Checkpoint: {str(self.folder)!r} holds the checkpoints of another run; "
                    "go on with attendo.train.resume, or give another folder"
                )
        trainer.folder = self.folder.resolve()
        self._resumed = False
        self._snapshot = _core.Snapshot()
        self._error = None
        self._write(trainer, [self._whole])
        self._wait()
        if self._error is not None:
            raise self._error
        self._last_time = time.monotonic()

    def on_batch_end(self, trainer: Trainer, info: Info) -> None:
        """Write one where it is due."""
        steps, last = trainer.optimizer.steps, self._steps_written
        due = self._every_steps is not None and steps // self._every_steps > last // self._every_steps
        if self._every_seconds is not None:
            due = due or time.monotonic() - self._last_time >= self._every_seconds
        if due:
            self._write(trainer, [self._whole])

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Write one where it is due, and the best model."""
        files: list[_File] = []
        if self._monitor is not None and self._monitor.is_better(self._monitor.value(info)):
            self._wait()  # this one is not left out
            files.append(self._model)
        if self._every_epochs is not None and (info["epoch"] + 1) % self._every_epochs == 0:
            files.append(self._whole)
        if files:
            self._write(trainer, files)

    def on_train_end(self, trainer: Trainer) -> None:
        """Write the last one."""
        if self._snapshot is None:
            return
        self._wait()
        if trainer.interrupted and not trainer.settled:
            self._snapshot = None  # in the middle of a step: the checkpoint before is the place to go on from
            return
        self._write(trainer, [self._whole])
        self._wait()
        self._snapshot = None
        if self._error is not None:
            raise self._error

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"best": self.best, "settings": self._settings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self._monitor is not None:
            self._monitor.best = state["best"]
        self._resumed = True

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, trainer: Trainer, files: list[_File]) -> None:
        """Copy the numbers, and let another thread write them."""
        from threading import Thread

        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._wait()
        if self._error is not None:
            import warnings

            error, self._error = self._error, None
            warnings.warn(f"Checkpoint: {error}; training goes on", RuntimeWarning, stacklevel=2)
        assert self._snapshot is not None
        entries = self._snapshot.take(trainer._core)
        jobs = [file(trainer, entries) for file in files]
        self._steps_written, self._last_time = trainer.optimizer.steps, time.monotonic()
        thread = Thread(target=self._write_files, args=(jobs,))
        thread.start()
        self._thread = thread

    def _whole(self, trainer: Trainer, entries: list[Any]) -> tuple[Path, Any]:
        from ..train.checkpoint import Contents, checkpoint_name

        assert self._snapshot is not None
        path = self.folder / checkpoint_name(trainer.optimizer.steps)
        return path, Contents(entries, self._snapshot, trainer.state_dict())

    def _model(self, trainer: Trainer, entries: list[Any]) -> tuple[Path, Any]:
        from .. import _core
        from .._state import metadata_of
        from ..train.checkpoint import ModelContents

        snapshot = self._snapshot
        assert snapshot is not None
        if trainer.average is not None:
            snapshot = self._averaged = self._averaged or _core.Snapshot()
            with trainer.averaged():
                entries = snapshot.take(trainer._core, model_only=True)
        contents = ModelContents(entries, snapshot, metadata_of(trainer.model))
        return self.folder / "best.safetensors", contents

    def _write_files(self, jobs: list[tuple[Path, Any]]) -> None:
        from ..train.checkpoint import checkpoints_in, write

        try:
            for path, contents in jobs:
                write(path, contents)
            for old in checkpoints_in(self.folder)[self._keep :]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self._error = error

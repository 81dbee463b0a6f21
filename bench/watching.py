"""What it costs to watch a training whose step takes 5 ms.

    python -m bench.watching

The time of the processor that each call of a callback takes, on the thread that trains: what else the machine
does is not in it. Callbacks are told about every 50 ms (on_step) and after each epoch; those that ask for it,
after each batch. The bar draws into a buffer; loggers write to a temporary folder. What is not installed is
left out.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import attendo as at

STEP_MS, TICK_MS = 5.0, 50.0


class EachBatch(at.callbacks.Callback):
    """The least a callback of every batch can do."""

    seen = 0

    def on_batch_end(self, trainer: at.train.Trainer, info: at.callbacks.Info) -> None:
        self.seen += 1


def watchers(folder: Path) -> dict[str, Callable[[], list[at.callbacks.Callback]]]:
    """Lists of callbacks, by name."""
    c = at.callbacks
    return {
        "ProgressBar": lambda: [c.ProgressBar(always=True)],
        "each batch": lambda: [EachBatch()],
        "CSVLogger": lambda: [c.CSVLogger(folder / "log.csv")],
        "JSONLines": lambda: [c.JSONLines(folder / "log.jsonl")],
        "TensorBoard": lambda: [c.TensorBoard(folder / "board", histograms_every=0)],
        "bar, CSV and TensorBoard": lambda: [
            c.ProgressBar(always=True),
            c.CSVLogger(folder / "all.csv"),
            c.TensorBoard(folder / "all", histograms_every=0),
        ],
    }


class Timed:
    """Hands on to callbacks, and adds up what each kind of call takes."""

    def __init__(self, callbacks: list[at.callbacks.Callback]) -> None:
        self.callbacks = callbacks
        self.seconds: dict[str, list[float]] = {}

    def _call(self, event: str, *args: Any) -> None:
        begin = time.thread_time()
        for callback in self.callbacks:
            getattr(callback, event)(*args)
        self.seconds.setdefault(event, []).append(time.thread_time() - begin)

    def on_train_begin(self, *args: Any) -> None:
        self._call("on_train_begin", *args)

    def on_step(self, *args: Any) -> None:
        self._call("on_step", *args)

    def on_epoch_end(self, *args: Any) -> None:
        self._call("on_epoch_end", *args)

    def on_train_end(self, *args: Any) -> None:
        self._call("on_train_end", *args)


class TimedEach(Timed):
    """Of callbacks of every batch."""

    def on_batch_end(self, *args: Any) -> None:
        self._call("on_batch_end", *args)


def measure(callbacks: list[at.callbacks.Callback]) -> tuple[float, float, float]:
    """Milliseconds a tick, a batch and an epoch."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6400, 256)).astype(np.float32)
    y = rng.integers(0, 10, len(x))
    model = at.nn.Sequential(at.nn.Linear(256, 1024, seed=0), at.nn.ReLU(), at.nn.Linear(1024, 10, seed=1))
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(1e-3))
    timed = (TimedEach if isinstance(callbacks[0], EachBatch) else Timed)(callbacks)
    with contextlib.redirect_stderr(io.StringIO()):
        trainer.fit(x, y, epochs=20, batch_size=64, callbacks=[timed], progress=False)
    means = [timed.seconds.get(event, []) for event in ("on_step", "on_batch_end", "on_epoch_end")]
    tick, batch, epoch = (1e3 * float(np.mean(spent)) if spent else 0.0 for spent in means)
    return tick, batch, epoch


def main() -> None:
    """Print a line a kind of watching."""
    print(f"{'watched by':26} {'µs a tick':>10} {'µs a batch':>11} {'µs an epoch':>12} {'of a step':>10}")
    with tempfile.TemporaryDirectory() as folder:
        measure([at.callbacks.ProgressBar(always=True)])  # what is imported once is not part of a step
        for name, make in watchers(Path(folder)).items():
            try:
                callbacks = make()
            except ImportError as error:
                print(f"{name:26} {error}")
                continue
            tick, batch, epoch = measure(callbacks)
            share = tick / TICK_MS + batch / STEP_MS
            print(f"{name:26} {1e3 * tick:10.0f} {1e3 * batch:11.1f} {1e3 * epoch:12.0f} {share:10.2%}")


if __name__ == "__main__":
    main()

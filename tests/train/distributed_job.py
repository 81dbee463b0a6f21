"""What the processes of test_distributed.py run: mpiexec -n N python distributed_job.py CASE FOLDER.

"kill:1:9" and "raise:1:9" end process 1 in step 9.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import attendo as at

VOCABULARY, LENGTH, WIDTH = 11, 6, 8


class Reader(at.nn.Module):
    """Reads tokens, with one matrix at both ends."""

    def __init__(self, dtype: str, dropout: float = 0.0, sparse: bool = False) -> None:
        super().__init__()
        self.embedding = at.nn.Embedding(VOCABULARY, WIDTH, sparse=sparse, seed=0, dtype=dtype)
        self.attention = at.nn.MultiHeadAttention(WIDTH, 2, seed=1, dtype=dtype)
        self.norm = at.nn.LayerNorm(WIDTH, dtype=dtype)
        self.dropout = at.nn.Dropout(dropout)
        self.out = at.nn.Linear(WIDTH, VOCABULARY, seed=2, dtype=dtype)
        self.sparse = sparse

    def forward(self, ids: Any) -> Any:
        x = self.embedding(ids)
        x = self.norm(x + self.dropout(self.attention(x, x, x)))
        return self.out(x) if self.sparse else self.out(x) + x @ self.embedding.weight.transpose()


class Statistics(at.nn.Module):
    """Has running statistics, one buffer that never changes, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = at.nn.Linear(4, 4, seed=0)
        self.norm = at.nn.BatchNorm2d(4)
        self.dropout = at.nn.Dropout(0.2)
        self.out = at.nn.Linear(4, 1, seed=1)
        self.register_buffer("constant", np.ones(3, np.float32))

    def forward(self, x: Any) -> Any:
        x = self.norm(self.linear(x).reshape(*x.shape, 1, 1)).reshape(*x.shape)
        return self.out(self.dropout(x))


def tokens(samples: int) -> tuple[Any, Any]:
    """Ids and targets, of which many do not count, and in some samples all but one."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, VOCABULARY, (samples, LENGTH))
    target = (ids * 3 + np.roll(ids, 1, axis=1)) % (VOCABULARY - 1) + 1
    lengths = rng.integers(1, LENGTH + 1, samples)
    target[np.arange(LENGTH) >= lengths[:, None]] = 0
    return ids, target


#: Options of train, and of the batches a process has where there are four.
CURVES: dict[str, dict[str, Any]] = {
    "float64": {},
    "float32": {"dtype": "float32"},
    "accumulate": {"accumulate": 3},
    "clip": {"clip_norm": 0.05, "lr": 1.0},
    "uneven": {"samples": 50},  # the last step has two samples: for two of four processes none
    "one": {"samples": 33},  # and one
    "weights": {"weighted": True},
    "sparse": {"sparse": True, "samples": 50},
    "buckets": {"bucket_by": True},
}


def train(
    distributed: at.train.Distributed | None = None,
    *,
    batch_size: int = 16,
    dtype: str = "float64",
    samples: int = 64,
    lr: float = 0.5,
    weighted: bool = False,
    sparse: bool = False,
    bucket_by: bool = False,
    **options: Any,
) -> dict[str, Any]:
    model = Reader(dtype, sparse=sparse)
    if distributed is not None and not distributed.is_main:
        model.reset_parameters(distributed.rank)  # rank 0's are taken
    ids, target = tokens(samples)
    weight = np.random.default_rng(1).uniform(0.1, 3, samples).astype(dtype) if weighted else None
    lengths = (target > 0).sum(axis=1) if bucket_by else False
    loss, optimizer = at.losses.CrossEntropy(ignore_index=0), at.optim.SGD(lr=lr)
    trainer = at.train.Trainer(model, loss, optimizer, seed=3, distributed=distributed, **options)
    history = trainer.fit(
        ids,
        target,
        epochs=3,
        batch_size=batch_size,
        sample_weight=weight,
        validation=(ids, target),
        bucket_by=lengths,
        progress=False,
    )
    state = {f"state {name}": value for name, value in model.state_dict().items()}
    return {name: history[name] for name in ("step_loss", "loss", "lr", "val_loss")} | state


class Notes(at.callbacks.Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_batch_end(self, trainer: Any, info: Any) -> None:
        self.steps.append(info["step"])


class NotesOfTheFirst(Notes):
    first_process_only = True


class Spoils(at.callbacks.Callback):
    """Changes the model in one process alone."""

    first_process_only = True

    def on_batch_end(self, trainer: Any, info: Any) -> None:
        trainer.model.out.bias.assign(np.zeros(1, np.float32))


class StopAfter(at.callbacks.Callback):
    first_process_only = True

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, trainer: Any, info: Any) -> None:
        if info["step"] == self.step:
            trainer.stop()


class Ends(at.callbacks.Callback):
    """Ends one process at a step."""

    def __init__(self, how: str, distributed: at.train.Distributed, rank: int, step: int) -> None:
        self.how, self.step, self.mine = how, step, distributed.rank == rank

    def on_batch_end(self, trainer: Any, info: Any) -> None:
        if self.mine and info["step"] == self.step:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError("the disk is on fire")


def curves(distributed: at.train.Distributed, folder: Path) -> None:
    """All curves, and the first one twice."""
    for name, options in [*CURVES.items(), ("again", CURVES["float64"])]:
        save(folder / f"{name}-{distributed.rank}.npz", train(distributed, batch_size=4, **options))


def behaviour(distributed: at.train.Distributed, folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)

    def trainer(**options: Any) -> at.train.Trainer:
        optimizer = at.optim.SGD(lr=0.01)
        loss = at.losses.MeanSquaredError()
        return at.train.Trainer(Statistics(), loss, optimizer, distributed=distributed, **options)

    out: dict[str, Any] = {}
    notes, everywhere = NotesOfTheFirst(), Notes()
    one = trainer()
    history = one.fit(x, y, epochs=2, batch_size=4, progress=False, callbacks=[notes, everywhere])
    out.update({f"state {name}": value for name, value in one.model.state_dict().items()})
    out.update(steps=len(history["step_loss"]), notes=notes.steps, everywhere=everywhere.steps)

    two = trainer()
    history = two.fit(x, y, epochs=9, batch_size=4, progress=False, callbacks=[StopAfter(4)])
    out["stopped"] = len(history["step_loss"])

    stopping = at.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0, restore_best=True)
    three = trainer()
    history = three.fit(x, y, epochs=9, batch_size=4, validation=(x, y), progress=False, callbacks=[stopping])
    out["early"] = len(history["loss"])
    out.update({f"best {name}": value for name, value in three.model.state_dict().items()})

    class Twice(at.train.Objective):
        """Adds a second backward to each: nothing may be sent before it."""

        repeats = 2

        def after_backward(self, trainer: Any, batch: Any) -> None:
            trainer.batch_loss(batch).backward()

    four = at.train.Trainer(
        at.nn.Linear(4, 1, seed=0, dtype="float64"),
        at.losses.MeanSquaredError(),
        at.optim.SGD(lr=0.01),
        distributed=distributed,
        objective=Twice(),
    )
    four.fit(x.astype(float), y.astype(float), epochs=2, batch_size=4, progress=False)
    out["twice"] = four.model.state_dict()["weight"]

    def batches() -> Any:
        for i in range(4):
            part = slice(10 * i, 10 * i + 10)
            yield x[part][distributed.rank :: distributed.size], y[part][distributed.rank :: distributed.size]

    class Source:
        def __iter__(self) -> Any:
            return batches()

    five = at.train.Trainer(
        at.nn.Linear(4, 1, seed=0),
        at.losses.MeanSquaredError(),
        at.optim.SGD(lr=0.01),
        distributed=distributed,
    )
    out["iterable"] = five.fit(Source(), epochs=2, progress=False)["step_loss"]
    out["threads"] = at.get_num_threads()
    out["statistics"] = [distributed.statistics["buckets"], distributed.statistics["sent_early"]]
    save(folder / f"behaviour-{distributed.rank}.npz", out)


def differences(distributed: at.train.Distributed, folder: Path) -> None:
    """What differs from process to process is named, in all of them."""
    rank = distributed.rank
    x = np.ones((8, 4), np.float32)
    messages = []

    def attempt(fit: dict[str, Any], inputs: Any = x, features: int = 4, **options: Any) -> None:
        model = at.nn.Linear(4, features, seed=0)
        loss, optimizer = at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1)
        try:
            trainer = at.train.Trainer(model, loss, optimizer, distributed=distributed, **options)
            trainer.fit(inputs, inputs[:, :1].repeat(features, 1), progress=False, **fit)
        except ValueError as error:
            messages.append(str(error))

    attempt({"epochs": 1 + rank})
    attempt({"batch_size": 4 if rank < 2 else 2})
    attempt({}, seed=rank)
    attempt({}, features=1 + rank)
    attempt({}, inputs=x[: 8 - rank])
    attempt({}, inputs=x * rank)
    save(folder / f"differences-{rank}.npz", {"messages": messages})


def run_with_checkpoints(distributed: at.train.Distributed, folder: Path, callbacks: list[Any]) -> None:
    x = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    checkpoints = folder / "checkpoints"
    # Every process looks before the first one writes.
    distributed.wait_for_all()
    going_on = checkpoints.is_dir()
    distributed.wait_for_all()
    loss, optimizer = at.losses.MeanSquaredError(), at.optim.AdamW(lr=0.01)
    if going_on:
        trainer = at.train.resume(
            checkpoints, model=Statistics(), loss=loss, optimizer=optimizer, distributed=distributed
        )
    else:
        trainer = at.train.Trainer(Statistics(), loss, optimizer, seed=1, distributed=distributed)
        callbacks = [at.callbacks.Checkpoint(checkpoints, every_steps=2), *callbacks]
    history = trainer.fit(x, y, epochs=5, batch_size=3, progress=False, callbacks=callbacks)
    out = {f"state {name}": value for name, value in trainer.model.state_dict().items()}
    save(folder / f"run-{distributed.rank}.npz", out | {"step_loss": history["step_loss"]})


def save(file: Path, arrays: dict[str, Any]) -> None:
    np.savez(file, **{name: np.asarray(value) for name, value in arrays.items()})


def main(case: str, folder: Path) -> None:
    distributed = at.train.Distributed()
    case, *place = case.split(":")
    if case in ("kill", "raise"):
        rank, step = map(int, place)
        run_with_checkpoints(distributed, folder, [Ends(case, distributed, rank, step)])
    elif case == "spoils":
        run_with_checkpoints(distributed, folder, [Spoils()])
    elif case == "whole":
        run_with_checkpoints(distributed, folder, [])
    elif case == "swallow":  # an error that is caught, and a script that goes on
        try:
            run_with_checkpoints(distributed, folder, [Ends("raise", distributed, rank=1, step=9)])
        except OSError:
            print("caught")
            try:
                run_with_checkpoints(distributed, folder / "other", [])
            except RuntimeError as error:
                print(error)
    elif case == "endless":
        if distributed.is_main:
            (folder / "begun").touch()
        while True:
            train(distributed, batch_size=4)
    else:
        {"curves": curves, "behaviour": behaviour, "differences": differences}[case](distributed, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

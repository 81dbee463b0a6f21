"""A line of numbers an epoch, in a file: CSV or JSON lines. Needs nothing but Python."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .base import Callback, Info, numbers

if TYPE_CHECKING:
    from ..train import Trainer

Row = dict[str, Any]


class _RowLogger(Callback):
    """One row an epoch; ``step`` counts the optimizer's steps over all calls to ``fit``."""

    first_process_only = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None
        self._begun = False

    def on_train_begin(self, trainer: Trainer) -> None:
        """Open the file. Of a training that goes on, what was written before that stays."""
        done = trainer.optimizer.steps
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._begun:
            kept = self._read() if done > 0 and self.path.exists() else []
            self._write([row for row in kept if row["step"] <= done])
        self._begun = True
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def on_epoch_end(self, trainer: Trainer, info: Info) -> None:
        """Write the row and hand it to the operating system."""
        assert self._file is not None
        row = numbers(info)
        rate = row.pop("steps_per_second", None)
        if "epoch_loss" in row:
            row["loss"] = row.pop("epoch_loss")
        first: Row = {"epoch": row.pop("epoch"), "step": trainer.optimizer.steps, "seconds": info["seconds"]}
        self._append({**first, **row, **({} if rate is None else {"steps_per_second": rate})})
        if self._file is not None:
            self._file.flush()

    def on_train_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, rows: list[Row]) -> None:
        """The file anew, or not at all: a full disk leaves it as it was."""
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text(self._text(rows), encoding="utf-8", newline="")
        os.replace(temporary, self.path)

    def _read(self) -> list[Row]:
        """The rows that were written to their end."""
        raise NotImplementedError

    def _text(self, rows: list[Row]) -> str:
        raise NotImplementedError

    def _append(self, row: Row) -> None:
        raise NotImplementedError


class CSVLogger(_RowLogger):
    """The numbers of each epoch as a row of a CSV file: epoch, step, seconds, mean loss, lr, ``val_loss``, …

    Parameters
    ----------
    path : path
        The file; folders are made.

    Notes
    -----
    Every float is written with as many digits as bring it back to the bit. A row is in the file when its
    epoch is over. Training that goes on, after ``resume`` or with an optimizer that has made steps, appends;
    rows of steps that are made again are replaced. Training from the start begins the file anew.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> import attendo as at
    >>> x = np.ones((8, 1), dtype="float32")
    >>> trainer = at.train.Trainer(at.nn.Linear(1, 1), at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = at.callbacks.CSVLogger(folder + "/log.csv")
    ...     _ = trainer.fit(x, x, epochs=2, batch_size=4, callbacks=[log], progress=False)
    ...     print(log.path.read_text().splitlines()[0])
    epoch,step,seconds,loss,lr,steps_per_second

    Source: python/attendo/callbacks/logs.py
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._columns: list[str] = []

    def _read(self) -> list[Row]:
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        rows: list[Row] = []
        for cells in csv.DictReader(io.StringIO(whole, newline="")):
            row = {
                name: int(cell) if name in ("epoch", "step") else float(cell)
                for name, cell in cells.items()
                if cell
            }
            if "step" not in row:
                raise ValueError(f"CSVLogger: {self.path} holds a row without a step; is it another's?")
            rows.append(row)
        return rows

    def _text(self, rows: list[Row]) -> str:
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        out = io.StringIO(newline="")
        if self._columns:
            writer = csv.DictWriter(out, self._columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return out.getvalue()

    def _append(self, row: Row) -> None:
        assert self._file is not None
        new = [name for name in row if name not in self._columns]
        if new and self._columns:  # a validation that came later: the rows so far have no value there
            self._file.close()
            self._write([*self._read(), row])
            self._file = self.path.open("a", encoding="utf-8", newline="")
            return
        self._columns += new
        writer = csv.DictWriter(self._file, self._columns, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


class JSONLines(_RowLogger):
    """The numbers of each epoch as a line of JSON: ``{"epoch": 0, "step": 7, "seconds": …, "loss": …}``.

    Parameters
    ----------
    path : path
        The file; folders are made.

    Notes
    -----
    As :class:`CSVLogger`: exact floats, a line when its epoch is over, and a training that goes on appends
    without writing a step twice. NaN and infinity are written as Python's ``json`` reads them.

    Examples
    --------
    >>> import json, numpy as np, tempfile
    >>> import attendo as at
    >>> x = np.ones((8, 1), dtype="float32")
    >>> trainer = at.train.Trainer(at.nn.Linear(1, 1), at.losses.MeanSquaredError(), at.optim.SGD(lr=0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = at.callbacks.JSONLines(folder + "/log.jsonl")
    ...     _ = trainer.fit(x, x, epochs=2, batch_size=4, callbacks=[log], progress=False)
    ...     [json.loads(line)["step"] for line in log.path.read_text().splitlines()]
    [2, 4]

    Source: python/attendo/callbacks/logs.py
    """

    def _read(self) -> list[Row]:
        rows: list[Row] = []
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break
            row = json.loads(line)
            if not isinstance(row, dict) or "step" not in row:
                raise ValueError(f"JSONLines: {self.path} holds a line without a step; is it another's?")
            rows.append(row)
        return rows

    def _text(self, rows: list[Row]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)

    def _append(self, row: Row) -> None:
        assert self._file is not None
        self._file.write(json.dumps(row) + "\n")

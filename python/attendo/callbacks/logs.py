"""A line of numbers an epoch, in a file: CSV or JSON lines. Needs nothing but Python."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TextIO

from .arguments import as_path
from .base import Callback, Info, numbers

if TYPE_CHECKING:
    from ..train import Trainer

Row = dict[str, Any]

_PLACE = ("step", "epoch")


def _check_names(names: Collection[str]) -> None:
    for name in _PLACE:
        if name not in names:
            raise ValueError(f"it has a line without {'an' if name == 'epoch' else 'a'} {name}")


class _RowLogger(Callback):
    """One row an epoch; ``step`` counts the optimizer's steps over all calls to ``fit``."""

    first_process_only = True

    _begins: bytes  # what every file of this kind has first

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(type(self).__name__, "path", path)
        self._file: TextIO | None = None
        self._check_no_folder()

    def on_train_begin(self, trainer: Trainer) -> None:
        """Open the file. Of a training that goes on, what was written before that stays."""
        self._check_no_folder()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        goes_on = trainer.optimizer.steps > 0 and self.path.exists()
        self._write(self._written_before(trainer) if goes_on else [])
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

    def _check_no_folder(self) -> None:
        if self.path.is_dir():
            raise ValueError(
                f"{type(self).__name__}: path is {str(self.path)!r}, a folder, but must be a file in one"
            )

    def _written_before(self, trainer: Trainer) -> list[Row]:
        """The rows of epochs that have ended where training goes on."""
        done, history = trainer.optimizer.steps, trainer.history
        resumed, ended = len(history["step_loss"]) > 0, len(history["loss"])

        def has_ended(row: Row) -> bool:
            # A checkpoint of an epoch's last step may be older than the epoch's end: the row will come again.
            if row["step"] == done and resumed:
                return bool(row["epoch"] < ended)
            return bool(row["step"] <= done)

        return [row for row in self._read() if has_ended(row)]

    def _write(self, rows: list[Row]) -> None:
        """The file anew, or not at all: a full disk leaves it as it was."""
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            temporary.write_text(self._text(rows), encoding="utf-8", newline="")
            os.replace(temporary, self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _read(self) -> list[Row]:
        """The rows that were written to their end.

        Raises
        ------
        ValueError
            When the file is another's.
        """
        data = self.path.read_bytes()
        try:
            begins = data[: len(self._begins)]
            if b"\n" not in data and not self._begins.startswith(begins):
                raise ValueError("it is a single line without an end")
            rows = self._rows(data[: data.rfind(b"\n") + 1].decode("utf-8"))
            for row in rows:
                _check_names(row)
                for name in _PLACE:
                    if isinstance(row[name], bool) or not isinstance(row[name], int):
                        raise ValueError(f"it has a row whose {name} is no whole number")
        except (ValueError, csv.Error, RecursionError) as error:
            raise ValueError(
                f"{type(self).__name__}: {str(self.path)!r} is no log of its own to go on with: {error}; "
                "give another path or move the file away"
            ) from error
        return rows

    def _rows(self, text: str) -> list[Row]:
        """The rows of a text that was written to the end of a line."""
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

    Raises
    ------
    ValueError, TypeError
        When path is a folder, or no path; in fit, when training goes on and the file is another's.

    Notes
    -----
    Every float is written with as many digits as bring it back to the bit. A row is in the file when its
    epoch is over. Training that goes on, after ``resume`` or with an optimizer that has made steps, appends;
    rows of epochs that end again are replaced. Training from the start begins the file anew.

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

    _begins = b"epoch,step,"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._columns: list[str] = []

    def _rows(self, text: str) -> list[Row]:
        if not text:
            return []
        header, *lines = csv.reader(io.StringIO(text, newline=""))
        _check_names(header)
        rows: list[Row] = []
        for cells in lines:
            if len(cells) != len(header):
                raise ValueError(f"it has a row of {len(cells)} cells under {len(header)} names")
            row: Row = {}
            for name, cell in zip(header, cells, strict=True):
                if cell:
                    row[name] = int(cell) if name in _PLACE else float(cell)
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

    Raises
    ------
    ValueError, TypeError
        When path is a folder, or no path; in fit, when training goes on and the file is another's.

    Notes
    -----
    As :class:`CSVLogger`: exact floats, a line when its epoch is over, and a training that goes on appends
    without writing an epoch twice. NaN and infinity are written as Python's ``json`` reads them.

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

    _begins = b'{"epoch": '

    def _rows(self, text: str) -> list[Row]:
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        for row in rows:
            if not isinstance(row, dict):
                raise ValueError(f"it has a line that holds a {type(row).__name__} in place of a dict")
        return rows

    def _text(self, rows: list[Row]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)

    def _append(self, row: Row) -> None:
        assert self._file is not None
        self._file.write(json.dumps(row) + "\n")

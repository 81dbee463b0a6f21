"""What ``fit`` gives back: numbers by name, as a table, as a picture."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OF_STEPS = frozenset({"step_loss", "lr"})
_BAR = 24  # characters
_SHOWN = 60  # rows; of more, the first and the last


class History(dict[str, Any]):
    """What happened in training, by name.

    ``step_loss`` and ``lr``
        Loss and learning rate of each step: arrays of shape (steps,).
    ``loss``
        Mean loss of each epoch over what counted while it was trained: (epochs,).
    ``val_loss``, and ``val_accuracy`` where the loss defines it
        Of each epoch's validation, when there was one: (epochs,); so for every metric of the Trainer.
    ``seconds``
        How long it took.
    ``time``
        Where the time went: seconds by the part of a step, ``data``, ``forward``, ``loss``, ``backward``,
        ``optimizer``, ``validation``, ``callbacks``.

    A run that was interrupted and resumed has the history of one that was not.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, loss=at.losses.MeanSquaredError(), optimizer=at.optim.SGD(lr=0.5))
    >>> history = trainer.fit(x, x, epochs=3, validation=(x, x), progress=False)
    >>> history.table().columns
    ('epoch', 'loss', 'val_loss')
    >>> history.plot()
    Picture('training')
    """

    def __repr__(self) -> str:
        epochs, steps = len(self["loss"]), len(self["step_loss"])
        if not epochs:
            return "History(no epoch finished)"
        last = f"loss {self['loss'][-1]:.4g}"
        if "val_loss" in self:
            last += f", val_loss {self['val_loss'][-1]:.4g}"
        return f"History({epochs} epochs, {steps} steps, {self['seconds']:.1f} s, {last})"

    def of_epochs(self) -> dict[str, NDArray[np.float64]]:
        """The arrays that hold a number an epoch, ``loss`` first."""
        epochs = len(self["loss"])
        return {
            name: np.asarray(values, dtype=np.float64)
            for name, values in self.items()
            if name not in _OF_STEPS and np.ndim(values) == 1 and len(values) == epochs
        }

    def table(self) -> HistoryTable:
        """A row an epoch, and below them where the time went.

        Returns
        -------
        HistoryTable
            Prints as text, shows itself in a notebook, of more than 60 epochs the first and the last;
            ``to_csv(path)`` and ``to_pandas()`` have all.
        """
        columns = self.of_epochs()
        numbers = np.arange(1, len(self["loss"]) + 1)
        rows = tuple(
            (int(number), *(float(values[i]) for values in columns.values()))
            for i, number in enumerate(numbers)
        )
        return HistoryTable(("epoch", *columns), rows, dict(self.get("time", {})))

    def plot(self, *, ax: Any = None) -> Any:
        """Draw losses, learning rate, validation and time: :func:`attendo.viz.training_curves`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Draw the losses there instead.

        Returns
        -------
        Picture, or `ax`
        """
        from ..viz import training_curves

        return training_curves(self, ax=ax)


@dataclass(frozen=True)
class HistoryTable:
    """The epochs of a training as rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    time: dict[str, float]  #: seconds by part of the step

    def _cells(self) -> list[list[str]]:
        cells = [[str(row[0]), *(f"{value:.6g}" for value in row[1:])] for row in self.rows]
        if len(cells) > _SHOWN:
            cells[_SHOWN // 2 : -_SHOWN // 2] = [["…"] * len(self.columns)]
        return cells

    def _parts(self) -> list[tuple[str, float, float]]:
        """Part, seconds and share of the whole, the longest first."""
        total = sum(self.time.values())
        parts = sorted(self.time.items(), key=lambda part: -part[1])
        return [(name, seconds, seconds / total) for name, seconds in parts] if total > 0 else []

    def __str__(self) -> str:
        body = [list(self.columns), *self._cells()]
        widths = [max(len(row[i]) for row in body) for i in range(len(self.columns))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in body]
        parts = self._parts()
        if parts:
            width = max(len(name) for name, _, _ in parts)
            lines.append("")
            for name, seconds, share in parts:
                bar = "█" * round(_BAR * share)
                lines.append(f"{name.ljust(width)}  {seconds:9.3f} s  {share:4.0%}  {bar}".rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from ..viz.picture import escape

        def row(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._cells())
        html = f"<table>{row(list(self.columns), 'th')}{body}</table>"
        if parts := self._parts():
            times = "".join(row([name, f"{s:.3f} s", f"{share:.0%}"], "td") for name, s, share in parts)
            html += f"<table>{times}</table>"
        return f"<div>{html}</div>"

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the epochs, every float with the digits that bring it back; returns the path."""
        path = Path(path)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self.rows)
        return path

    def to_pandas(self) -> Any:
        """A DataFrame with the epoch as its index.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas: pandas is not installed; run: pip install pandas") from error
        return pandas.DataFrame(list(self.rows), columns=list(self.columns)).set_index("epoch")

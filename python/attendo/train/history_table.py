"""A history as a table."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BAR = 24  # characters
_SHOWN = 60  # rows; of more, the first and the last


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

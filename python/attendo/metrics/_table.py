"""Small tables, as text and as HTML."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ..viz.picture import escape


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian characters take two."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left, the others to the right."""
    lines = [[_one_line(cell) for cell in line] for line in (head, *rows)]
    widths = [max(_columns(line[i]) for line in lines) for i in range(len(head))]
    out = []
    for line in lines:
        cells = [line[0] + " " * (widths[0] - _columns(line[0]))]
        cells += [" " * (width - _columns(c)) + c for c, width in zip(line[1:], widths[1:], strict=True)]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def _one_line(cell: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cell)


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """The same for a notebook; every text is escaped."""

    def row(cells: Sequence[str], head: bool) -> str:
        left = 'style="text-align:left"'
        return "".join(
            f"<th {left}>{escape(c)}</th>"
            if i == 0
            else f"<{'th' if head else 'td'}>{escape(c)}</{'th' if head else 'td'}>"
            for i, c in enumerate(cells)
        )

    body = "".join(f"<tr>{row(cells, False)}</tr>" for cells in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{said}<thead><tr>{row(head, True)}</tr></thead><tbody>{body}</tbody></table>"

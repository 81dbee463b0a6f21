"""An attention mask as squares: filled where a query may attend to a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .picture import Picture, drawing, escape, number, shorten, text_width, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..masks._mask import Cells

# Blue on sand: apart for all colour vision, in grey, and on a light and a dark page.
_ALLOWED, _MASKED = "#1f5fa8", "#ece5d6"
_MARGIN, _LABEL = 12.0, 11.0
_WIDTH = 448.0  # about, of the squares
_LONGEST_TITLE = 60


def mask(cells: Cells, title: str = "", q_offset: int = 0) -> Picture:
    """Draw a mask: a row a query, a column a key; what :meth:`attendo.masks.Mask.draw` calls.

    Parameters
    ----------
    cells : the allowed share of each cell, as ``Mask._cells`` gives it
    title : str
    q_offset : int
        The position of the first query, for its label.

    Returns
    -------
    Picture
    """
    rows, columns = cells.shares.shape
    cell = max(4.0, min(24.0, _WIDTH / max(rows, columns)))
    left = _MARGIN + 20 + max(text_width(str(q_offset + cells.length - 1), _LABEL), 10.0) + 6
    top = _MARGIN + (24 if title else 0) + 34
    width, height = cell * columns, cell * rows
    body = []
    if title:
        body.append(
            words(shorten(title, _LONGEST_TITLE), _MARGIN, _MARGIN + 14, 15, extra='font-weight="600"')
        )
    body.append(words("keys →", left, top - 20, mute=True))
    body.append(words("← queries", _MARGIN + 12, top, anchor="end", angle=-90, mute=True))
    for column in _marked(columns, cell, text_width(str(cells.keys), _LABEL) + 8):
        body.append(
            words(
                column * cells.side, left + cell * (column + 0.5), top - 6, _LABEL, anchor="middle", mute=True
            )
        )
    for row in _marked(rows, cell, 16.0):
        place = top + cell * (row + 0.5) + 4
        body.append(words(q_offset + row * cells.side, left - 6, place, _LABEL, anchor="end", mute=True))
    body.append(_square(left, top, width, height, _MASKED))
    for row in range(rows):
        for first, end, share in _runs(cells.shares[row].tolist()):
            body.append(_cells_of(cells, row, first, end, share, q_offset, (left, top, cell)))
    if cell >= 8:
        body += _grid(left, top, rows, columns, cell)
    allowed = cells.allowed / (cells.length * cells.keys)
    told = f"{cells.allowed} of {cells.length * cells.keys} pairs may attend ({allowed:.3g})"
    legend = top + height + 12
    body += [
        _square(left, legend, 12, 12, _ALLOWED),
        words("may attend", left + 17, legend + 10, _LABEL),
        _square(left + 92, legend, 12, 12, _MASKED),
        words("may not", left + 109, legend + 10, _LABEL),
        words(told, left, legend + 28, _LABEL, mute=True),
    ]
    bottom = legend + 36
    if cells.side > 1:
        scale = f"a cell is {cells.side} × {cells.side}; the filled part of it is the part that may attend"
        body.append(words(scale, left, bottom + 8, _LABEL, mute=True))
        told, bottom = max(told, scale, key=len), bottom + 16
    wide = max(
        left + width,
        left + text_width(told, _LABEL),
        text_width(shorten(title, _LONGEST_TITLE), 15) + 2 * _MARGIN,
    )
    label = f"{title or 'a mask'}: {cells.length} queries and {cells.keys} keys, {told}"
    return Picture(drawing(wide + _MARGIN, bottom + _MARGIN, label, body), title or "a mask")


def _marked(count: int, cell: float, space: float) -> range:
    """Which rows or columns get a label: as many as have room, at round distances."""
    step = 1
    while step * cell < space:
        step *= 2
    return range(0, count, step)


def _runs(shares: list[float]) -> Iterator[tuple[int, int, float]]:
    """First cell, end and share of what is to be drawn: full cells side by side are one."""
    first = 0
    while first < len(shares):
        end = first + 1
        if shares[first] == 1:
            while end < len(shares) and shares[end] == 1:
                end += 1
        if shares[first] > 0:
            yield first, end, shares[first]
        first = end


def _cells_of(
    cells: Cells,
    row: int,
    first: int,
    end: int,
    share: float,
    q_offset: int,
    place: tuple[float, float, float],
) -> str:
    left, top, cell = place
    inset = (1 - max(share, 0.06) ** 0.5) * cell / 2  # the area is the share
    body = _square(
        left + cell * first + inset,
        top + cell * row + inset,
        cell * (end - first) - 2 * inset,
        cell - 2 * inset,
        _ALLOWED,
    )

    def span(begin: int, last: int, most: int) -> str:
        stop = min(most, last * cells.side) - 1
        return str(begin * cells.side) if stop == begin * cells.side else f"{begin * cells.side}–{stop}"

    low, high = row * cells.side + q_offset, min(cells.length, (row + 1) * cells.side) - 1 + q_offset
    queries = str(low) if low == high else f"{low}–{high}"
    part = "" if share == 1 else f", {share:.0%} of the pairs"
    tip = escape(f"queries {queries} → keys {span(first, end, cells.keys)}{part}")
    return f"<g><title>{tip}</title>{body}</g>"


def _square(x: float, y: float, width: float, height: float, colour: str) -> str:
    size = f'width="{width:.2f}" height="{height:.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} fill="{colour}"/>'


def _grid(left: float, top: float, rows: int, columns: int, cell: float) -> list[str]:
    lines = [f"M{number(left)} {number(top + cell * n)}h{number(cell * columns)}" for n in range(1, rows)]
    lines += [f"M{number(left + cell * n)} {number(top)}v{number(cell * rows)}" for n in range(1, columns)]
    return [f'<path d="{"".join(lines)}" stroke="#ffffff" stroke-width="1" fill="none"/>']

"""A matrix as coloured cells with labelled rows and columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .colour import sequential, text_on
from .picture import Picture, drawing, escape, number, shorten, text_width, words

_LABEL = 13.0  # font size of row and column labels
_MARGIN = 12.0
_LONGEST_LABEL = 24


def heatmap(
    matrix: npt.ArrayLike,
    x: Sequence[object] | None = None,
    y: Sequence[object] | None = None,
    title: str = "",
    *,
    x_title: str = "",
    y_title: str = "",
    low: float | None = None,
    high: float | None = None,
    cell: float | None = None,
    max_size: int = 64,
) -> Picture:
    """Draw a matrix: one coloured cell a number, the number in a tooltip and, where it fits, in the cell.

    Parameters
    ----------
    matrix : (rows, columns), real
        NaN and infinite values are drawn grey.
    x, y : labels of the columns and rows, optional
        Default: their indices.
    title, x_title, y_title : str
    low, high : float, optional
        The values of the darkest and the lightest colour. Default: the smallest and largest finite value.
    cell : float, optional
        The side of a cell in pixels. Default: from the number of columns.
    max_size : int
        More rows or columns than this are elided in the middle.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        `matrix` is not of rank 2, is empty, or has another number of rows or columns than there are labels;
        `max_size` < 2; `cell` is not above 0.
    TypeError
        `matrix` is not made of real numbers.

    Examples
    --------
    >>> heatmap([[0.9, 0.1], [0.2, 0.8]], x=["le", "chat"], y=["the", "cat"])
    Picture('heatmap of 2 rows and 2 columns')
    """
    values = _matrix(matrix)
    rows, columns = values.shape
    if max_size < 2:
        raise ValueError(f"max_size: must be at least 2, not {max_size}")
    if cell is not None and not 0 < cell < math.inf:
        raise ValueError(f"cell: must be a number of pixels above 0, not {cell}")
    x_labels, y_labels = _labels("x", x, columns, "columns"), _labels("y", y, rows, "rows")
    finite = values[np.isfinite(values)]
    low = float(low) if low is not None else float(finite.min()) if finite.size else 0.0
    high = float(high) if high is not None else float(finite.max()) if finite.size else 1.0

    shown_rows, shown_columns = _elide(rows, max_size), _elide(columns, max_size)
    cell = min(44.0, max(17.0, 640.0 / len(shown_columns))) if cell is None else float(cell)
    x_short = ["⋯" if j is None else shorten(x_labels[j], _LONGEST_LABEL) for j in shown_columns]
    y_short = ["⋯" if i is None else shorten(y_labels[i], _LONGEST_LABEL) for i in shown_rows]
    tilted = max(text_width(label, _LABEL) for label in x_short) > cell
    x_space = max(text_width(label, _LABEL) * 0.87 + 10 if tilted else 20.0 for label in x_short)
    y_space = max(text_width(label, _LABEL) for label in y_short) + 10

    left = _MARGIN + y_space + (20 if y_title else 0)
    top = _MARGIN + (26 if title else 0) + (20 if x_title else 0) + x_space
    width, height = cell * len(shown_columns), cell * len(shown_rows)
    body: list[str] = []
    if title:
        body.append(words(title, _MARGIN, _MARGIN + 14, 15, extra='font-weight="600"'))
    if x_title:
        body.append(words(x_title, left, _MARGIN + (26 if title else 0) + 12, mute=True))
    if y_title:
        body.append(words(y_title, _MARGIN + 10, top + height / 2, anchor="middle", angle=-90, mute=True))
    for column, label in enumerate(x_short):
        middle = left + cell * (column + 0.5)
        if tilted:
            body.append(words(label, middle + 4, top - 7, _LABEL, angle=-60))
        else:
            body.append(words(label, middle, top - 7, _LABEL, anchor="middle"))
    for row, label in enumerate(y_short):
        body.append(words(label, left - 7, top + cell * (row + 0.5) + 4.5, _LABEL, anchor="end"))
    for row, i in enumerate(shown_rows):
        for column, j in enumerate(shown_columns):
            corner = (left + cell * column, top + cell * row)
            if i is None or j is None:
                body.append(_gap(corner, cell))
            else:
                tip = f"{y_labels[i]} ← {x_labels[j]}: {values[i, j]:.4g}"
                body.append(_cell(corner, cell, float(values[i, j]), low, high, tip))
    body += _scale(left + width + 18, top, min(height, 160.0), low, high)

    label = f"heatmap of {rows} rows and {columns} columns"
    right = left + width + 18 + 14 + 8 + max(text_width(f"{end:.3g}", 11) for end in (low, high)) + _MARGIN
    title_width = text_width(title, 15) * 1.05 + 2 * _MARGIN if title else 0
    tilt_width = (
        max(left + cell * (c + 0.5) + text_width(s, _LABEL) * 0.5 + 8 for c, s in enumerate(x_short))
        if tilted
        else 0
    )
    svg = drawing(
        max(right, title_width, tilt_width), top + max(height, 44.0) + _MARGIN, title or label, body
    )
    return Picture(svg, title or label)


def alignment(
    weights: npt.ArrayLike,
    source_tokens: Sequence[object],
    target_tokens: Sequence[object],
    title: str = "",
    *,
    cell: float | None = None,
    max_size: int = 64,
) -> Picture:
    """Draw attention weights: at which source tokens (columns) each produced token (a row) looked.

    Parameters
    ----------
    weights : (target tokens, source tokens), real
        Drawn from 0, the darkest colour, to 1, the lightest.
    source_tokens, target_tokens : sequences of labels
        A string is its characters; a space is drawn as ␣.
    cell, max_size
        As in `heatmap`.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError, TypeError
        As in `heatmap`.
    """
    if isinstance(source_tokens, str):
        source_tokens = list(source_tokens)
    if isinstance(target_tokens, str):
        target_tokens = list(target_tokens)
    return heatmap(
        weights,
        [_visible(token) for token in source_tokens],
        [_visible(token) for token in target_tokens],
        title,
        x_title="read →",
        y_title="written",
        low=0.0,
        high=1.0,
        cell=cell,
        max_size=max_size,
    )


def _visible(token: object) -> str:
    return str(token).replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")


def _matrix(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(matrix)
    if values.ndim != 2:
        raise ValueError(f"matrix: must have shape (rows, columns), not {values.shape}")
    if 0 in values.shape:
        raise ValueError(f"matrix: has shape {values.shape}, so there is nothing to draw")
    if values.dtype.kind not in "fiub":
        raise TypeError(f"matrix: must be made of real numbers, not {values.dtype}")
    return values.astype(np.float64)


def _labels(name: str, labels: Sequence[object] | None, count: int, of: str) -> list[str]:
    if labels is None:
        return [str(index) for index in range(count)]
    if len(labels) != count:
        raise ValueError(f"{name}: has {len(labels)} labels but matrix has {count} {of}")
    return [str(label) for label in labels]


def _elide(count: int, most: int) -> list[int | None]:
    """The indices to draw; None is the gap where the middle was left out."""
    if count <= most:
        return list(range(count))
    head = most // 2
    tail = most - head - 1
    return [*range(head), None, *range(count - tail, count)]


def _gap(corner: tuple[float, float], cell: float) -> str:
    return words("·", corner[0] + cell / 2, corner[1] + cell / 2 + 4, 11, anchor="middle", mute=True)


def _cell(corner: tuple[float, float], cell: float, value: float, low: float, high: float, tip: str) -> str:
    share = math.nan if not math.isfinite(value) else (value - low) / (high - low) if high > low else 0.5
    colour = sequential(share)
    x, y = corner
    place = f'x="{number(x + 0.5)}" y="{number(y + 0.5)}"'
    rect = f'<rect {place} width="{number(cell - 1)}" height="{number(cell - 1)}" rx="2" fill="{colour}"/>'
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:.2g}"
    written = ""
    if cell >= text_width(text, 11) + 6:
        # style, not fill=: the style sheet would win over the attribute
        extra = f'style="fill:{text_on(colour)}"'
        written = words(text, x + cell / 2, y + cell / 2 + 4, 11, anchor="middle", extra=extra)
    return f"<g><title>{escape(tip)}</title>{rect}{written}</g>"


def _scale(x: float, y: float, height: float, low: float, high: float) -> list[str]:
    """The colour scale: a bar with its two ends written beside it."""
    steps = 24
    height = max(height, 40.0)
    parts = []
    for step in range(steps):
        place = f'x="{number(x)}" y="{number(y + height * step / steps)}" width="14"'
        colour = sequential(1 - (step + 0.5) / steps)
        parts.append(f'<rect {place} height="{number(height / steps + 0.6)}" fill="{colour}"/>')
    for end, baseline in ((high, y + 9), (low, y + height)):
        parts.append(words(f"{end:.3g}", x + 20, baseline, 11, mute=True))
    return parts

"""A series of numbers as a line: the raw values light, their moving average strong."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .picture import Picture, drawing, escape, number, text_width, words

Floats = npt.NDArray[np.float64]

_WIDTH, _HEIGHT = 1040.0, 340.0
_RIGHT, _BOTTOM = 18.0, 48.0
_RAW, _AVERAGE, _POINTS = (
    "var(--light-line)",
    "var(--line)",
    "#c2571a",
)  # blue and orange: apart for all colour vision
_MOST_POINTS = 1000  # about one a pixel


def curve(
    values: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    average: int = 0,
    points: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    points_name: str = "validation",
    log: bool = False,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
) -> Picture:
    """Draw a curve, such as the loss of every training step.

    Parameters
    ----------
    values : (n,), real
        NaN and infinite values, and with `log` those not above 0, leave a gap.
    x : (n,), optional
        Increasing. Default: 1, 2, …, n.
    average : int
        Window of a moving average drawn over the raw values; 0 for none.
    points : (x, y), optional
        Further values, drawn as marks: the loss on other data, for example.
    log : bool
        Logarithmic y axis.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        `values`, `x` or `points` are not of rank 1 or of different lengths, or nothing can be drawn;
        `average` < 0.
    """
    y_raw = _vector("values", values)
    x_raw = np.arange(1.0, len(y_raw) + 1) if x is None else _vector("x", x)
    if len(x_raw) != len(y_raw):
        raise ValueError(f"x: has {len(x_raw)} numbers but values has {len(y_raw)}")
    if average < 0:
        raise ValueError(f"average: must not be negative, got {average}")
    y_line = _drawable(y_raw, log)
    x_points, y_points = np.empty(0), np.empty(0)
    if points is not None:
        x_points, y_points = _vector("points", points[0]), _drawable(_vector("points", points[1]), log)
        if len(x_points) != len(y_points):
            raise ValueError(f"points: {len(x_points)} places but {len(y_points)} values")
    seen = np.concatenate([y_line, y_points])
    seen = seen[np.isfinite(seen)]
    if not seen.size or not np.isfinite(x_raw).all():
        raise ValueError("values: there is no finite number to draw")

    if float(seen.max()) - float(seen.min()) == math.inf:
        raise ValueError(f"values: from {seen.min():.3g} to {seen.max():.3g} is too far to draw")

    y_ticks = _log_ticks(seen.min(), seen.max()) if log else _even_ticks(seen.min(), seen.max())
    y_low, y_high = min(seen.min(), y_ticks[0]), max(seen.max(), y_ticks[-1])
    x_all = np.concatenate([x_raw, x_points])
    x_low, x_high = float(x_all.min()), float(x_all.max())
    left = 34.0 + max(text_width(_tick(value), 12) for value in y_ticks)
    top = 58.0 if title else 34.0

    def place_x(value: Floats) -> Floats:
        share: Floats = (value - x_low) / (x_high - x_low) if x_high > x_low else np.full_like(value, 0.5)
        return left + share * (_WIDTH - _RIGHT - left)

    def place_y(value: Floats) -> Floats:
        a, b, c = (np.log10(value), np.log10(y_low), np.log10(y_high)) if log else (value, y_low, y_high)
        share: Floats = (a - b) / (c - b) if c > b else np.full_like(value, 0.5)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - top)

    body = []
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    if title:
        body.append(words(title, 12, 26, 15, extra='font-weight="600"'))
    for value, y in zip(y_ticks, place_y(np.array(y_ticks)).tolist(), strict=True):
        ends = f'x1="{number(left)}" x2="{number(right)}" y1="{number(y)}" y2="{number(y)}"'
        body.append(f'<line class="line" {ends} stroke-opacity="0.25"/>')
        body.append(words(_tick(value), left - 8, y + 4, anchor="end", mute=True))
    for value in _even_ticks(x_low, x_high):
        if x_low <= value <= x_high:
            (at,) = place_x(np.array([value])).tolist()
            body.append(words(_tick(value), at, bottom + 20, anchor="middle", mute=True))
    body.append(words(x_label, (left + right) / 2, _HEIGHT - 8, anchor="middle", mute=True))
    body.append(words(y_label, 18, (top + bottom) / 2, anchor="middle", angle=-90, mute=True))

    entries = []
    if average > 1:
        body.append(_line(place_x(x_raw), place_y(y_line), _RAW, 1.0, 0.7))
        body.append(_line(place_x(x_raw), place_y(_moving_average(y_line, average)), _AVERAGE, 2.2, 1.0))
        entries += [("each value", _RAW), (f"average of {average:,}", _AVERAGE)]
    else:
        body.append(_line(place_x(x_raw), place_y(y_line), _AVERAGE, 1.8, 1.0))
    if len(x_points):
        entries.append((points_name, _POINTS))
        for at, y, value in zip(place_x(x_points), place_y(y_points), y_points, strict=True):
            if np.isfinite(y):
                tip = escape(f"{points_name}: {value:.4g}")
                circle = f'<circle cx="{number(at)}" cy="{number(y)}" r="4.5" fill="{_POINTS}">'
                body.append(f"{circle}<title>{tip}</title></circle>")
    body += _legend(entries, top - 18)
    name = title or "curve"
    return Picture(drawing(_WIDTH, _HEIGHT, name, body), name)


def _vector(name: str, values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: must be one row of numbers, not of shape {array.shape}")
    if not array.size:
        raise ValueError(f"{name}: is empty, so there is nothing to draw")
    return array


def _drawable(values: Floats, log: bool) -> Floats:
    return np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan)


def _moving_average(values: Floats, window: int) -> Floats:
    """The mean of the last `window` values, fewer at the start; a NaN is left out."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    count = counts[end] - counts[start]
    mean: Floats = np.where(count > 0, (sums[end] - sums[start]) / np.maximum(count, 1), np.nan)
    return mean


def _line(x: Floats, y: Floats, colour: str, width: float, opacity: float) -> str:
    """A path. Of more values than pixels, each pixel keeps its lowest and its highest: the spikes stay."""
    if len(y) > _MOST_POINTS:
        keep: list[int] = []
        for piece in np.array_split(np.arange(len(y)), _MOST_POINTS // 2):
            known = piece[np.isfinite(y[piece])]
            keep += (
                sorted({int(known[np.argmin(y[known])]), int(known[np.argmax(y[known])])})
                if len(known)
                else [int(piece[0])]
            )
        x, y = x[keep], y[keep]
    path, pen_down = [], False
    for at, value in zip(x, y, strict=True):
        if np.isfinite(value):
            path.append(f"{'L' if pen_down else 'M'}{number(at)} {number(value)}")
        pen_down = bool(np.isfinite(value))
    return (
        f'<path d="{"".join(path)}" fill="none" style="stroke:{colour}" stroke-width="{width:g}" '
        f'stroke-opacity="{opacity:g}" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )


def _legend(entries: list[tuple[str, str]], y: float) -> list[str]:
    parts, x = [], _WIDTH - _RIGHT
    for name, colour in reversed(entries):
        x -= text_width(name, 12)
        parts.append(words(name, x, y + 4, mute=True))
        swatch = f'x="{number(x - 20)}" y="{number(y - 2)}" width="14" height="4" rx="2"'
        parts.append(f'<rect {swatch} style="fill:{colour}"/>')
        x -= 38
    return parts


def _even_ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that cover low to high."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if span / (factor * power) <= 7)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten, or the powers alone when there would be many."""
    first = max(math.floor(math.log10(low) + 1e-9), -307)  # 10.0**309 overflows, 10.0**-324 is zero
    last = min(math.ceil(math.log10(high) - 1e-9), 307)
    factors = (1,) if last - first > 3 else (1, 2, 5)
    ticks = [factor * 10.0**power for power in range(first, max(last, first + 1) + 1) for factor in factors]
    if low == high:
        high = low * 1.5  # one value still gets a tick above it
    bottom = max((tick for tick in ticks if tick <= low * (1 + 1e-9)), default=ticks[0])
    top = min((tick for tick in ticks if tick >= high * (1 - 1e-9)), default=ticks[-1])
    return [tick for tick in ticks if bottom <= tick <= top]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.3g}"

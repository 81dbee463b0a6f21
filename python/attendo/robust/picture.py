"""Curves of accuracy over strength in one picture, each with its interval as a band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..viz import Picture
from ..viz.curve import _even_ticks, _tick
from ..viz.picture import drawing, escape, number, text_width, words

if TYPE_CHECKING:
    from .curve import EvaluationCurve

_WIDTH, _HEIGHT = 720.0, 380.0
_RIGHT, _BOTTOM = 18.0, 48.0
# Okabe and Ito's: apart for all colour vision.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def curves(named: Mapping[str, EvaluationCurve], *, title: str = "", x_label: str = "strength") -> Picture:
    """Draw evaluation curves over one axis of strength.

    Parameters
    ----------
    named : mapping of str to EvaluationCurve
        One to six curves by what they are called in the legend.
    title, x_label : str
        Above the picture, and below its axis.

    Returns
    -------
    Picture
        Self-contained SVG: it shows itself in a notebook, ``save`` writes it.

    Raises
    ------
    ValueError
        When there are no curves or more than six, or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> curve = at.robust.EvaluationCurve(np.array([0.0, 1.0]), np.array([[0.9, 0.9], [0.5, 0.6]]))
    >>> at.robust.curves({"plain": curve}, title="Noise")
    Picture('Noise')

    Source: python/attendo/robust/picture.py
    """
    if not 1 <= len(named) <= len(_COLOURS):
        raise ValueError(f"curves: there are {len(named)} curves but there must be 1 to {len(_COLOURS)}")
    bounds = np.concatenate([np.concatenate([one.low, one.high]) for one in named.values()])
    places = np.concatenate([one.strengths for one in named.values()])
    if not np.isfinite(bounds).all():
        raise ValueError("curves: values must be finite")
    metric = next(iter(named.values())).metric
    y_ticks = _even_ticks(
        *((0.0, 1.0) if metric == "accuracy" else (float(bounds.min()), float(bounds.max())))
    )
    y_low, y_high = y_ticks[0], y_ticks[-1]
    x_low, x_high = float(places.min()), float(places.max())
    left = 34.0 + max(text_width(_tick(tick), 12) for tick in y_ticks)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    top = 58.0 if title else 34.0

    def place_x(value: float) -> float:
        share = (value - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return left + share * (right - left)

    def place_y(value: float) -> float:
        return bottom - (value - y_low) / (y_high - y_low) * (bottom - top)

    body = [words(title, 12, 26, 15, extra='font-weight="600"')] if title else []
    for tick in y_ticks:
        y = place_y(tick)
        ends = f'x1="{number(left)}" x2="{number(right)}" y1="{number(y)}" y2="{number(y)}"'
        body.append(f'<line class="line" {ends} stroke-opacity="0.25"/>')
        body.append(words(_tick(tick), left - 8, y + 4, anchor="end", mute=True))
    for tick in _even_ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            body.append(words(_tick(tick), place_x(tick), bottom + 20, anchor="middle", mute=True))
    body.append(words(x_label, (left + right) / 2, _HEIGHT - 8, anchor="middle", mute=True))
    body.append(words(metric, 18, (top + bottom) / 2, anchor="middle", angle=-90, mute=True))

    bands, lines = [], []  # no band hides a line
    legend = right
    for (name, one), colour in reversed([*zip(named.items(), _COLOURS, strict=False)]):
        order = np.argsort(one.strengths, kind="stable").tolist()
        xs = [place_x(one.strengths[k]) for k in order]
        mean, low, high = one.mean, one.low, one.high

        def path(values: list[float], xs: list[float] = xs) -> str:
            return "L".join(f"{number(x)} {number(place_y(y))}" for x, y in zip(xs, values, strict=True))

        lower = path([low[k] for k in order][::-1], xs[::-1])
        upper = path([high[k] for k in order])
        bands.append(f'<path d="M{upper}L{lower}Z" fill="{colour}" fill-opacity="0.2" stroke="none"/>')
        line = path([mean[k] for k in order])
        lines.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for k, x in zip(order, xs, strict=True):
            tip = f"{name} at {one.strengths[k]:.4g}: {mean[k]:.4f} ({low[k]:.4f} to {high[k]:.4f})"
            circle = f'<circle cx="{number(x)}" cy="{number(place_y(mean[k]))}" r="4" fill="{colour}">'
            lines.append(f"{circle}<title>{escape(tip)}</title></circle>")
        legend -= text_width(name, 12)
        body.append(words(name, legend, top - 14, mute=True))
        swatch = f'x="{number(legend - 20)}" y="{number(top - 20)}" width="14" height="4" rx="2"'
        body.append(f'<rect {swatch} fill="{colour}"/>')
        legend -= 38
    body += bands + lines
    label = title or f"{metric} over {x_label}"
    return Picture(drawing(_WIDTH, _HEIGHT, label, body), label)

"""The curves of a training: loss and validation, learning rate, metrics, and where the time went."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .curve import curve
from .picture import Picture, drawing, escape, number, text_width, words

Floats = npt.NDArray[np.float64]

_DRAWN = ("loss", "val_loss", "step_loss", "lr")
_LOG_RANGE = 50.0  # from here on a logarithm shows more
_WIDTH, _BAR_HEIGHT = 1040.0, 104.0
# Okabe and Ito 2008: apart for all colour vision.
_PARTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8b929c")


def training_curves(history: Mapping[str, Any], *, title: str = "training", ax: Any = None) -> Any:
    """Draw what ``fit`` gave back: each step's loss and the validation, the learning rate, every metric.

    Parameters
    ----------
    history : History
        Of a training, or any mapping with its ``step_loss``, ``lr``, ``loss`` and further arrays an epoch.
    title : str
        Above the picture.
    ax : matplotlib.axes.Axes, optional
        Draw the losses there, with matplotlib, instead.

    Returns
    -------
    Picture
        An SVG, without JavaScript; or `ax`, when given.

    Raises
    ------
    ValueError
        When no step was made.

    Notes
    -----
    An axis is logarithmic where all is above 0 and the largest is more than 50 times the smallest. A
    learning rate that never changes is not drawn. Validation stands at the last step of its epoch.

    Examples
    --------
    >>> import attendo as at
    >>> history = {"step_loss": [3.0, 2.0, 1.5, 1.2], "lr": [0.1] * 4, "loss": [2.5, 1.35]}
    >>> at.viz.training_curves(history)
    Picture('training')

    Source: python/attendo/viz/training_curves.py
    """
    steps = np.asarray(history["step_loss"], dtype=np.float64)
    epochs = len(history["loss"])
    if not len(steps) or not np.isfinite(steps).any():
        raise ValueError("training_curves: history has no step with a finite loss to draw")
    ends: Floats = np.arange(1.0, epochs + 1) * (len(steps) / max(1, epochs))
    validation = _of_epochs(history, "val_loss", epochs)
    window = max(1, len(steps) // 50)
    drawn = [steps, validation] if validation is not None else [steps]
    log = _wants_log(np.concatenate(drawn))
    if ax is not None:
        return _on_axes(ax, steps, ends, validation, window, log, title)

    points = None if validation is None or not np.isfinite(validation).any() else (ends, validation)
    names = {"title": title, "x_label": "step", "y_label": "loss"}
    panels = [curve(steps, average=window, points=points, log=log, **names)]
    rate = np.asarray(history["lr"], dtype=np.float64)
    if len(rate) == len(steps) and np.ptp(rate) > 0:
        panels.append(curve(rate, log=_wants_log(rate), x_label="step", y_label="learning rate"))
    for name in history:
        values = None if name in _DRAWN else _of_epochs(history, name, epochs)
        if values is None or not np.isfinite(values).any():
            continue
        marks = (np.arange(1.0, epochs + 1), values) if epochs <= 50 else None
        label = name.removeprefix("val_").replace("_", " ")
        what = "validation" if name.startswith("val_") else label
        panels.append(curve(values, points=marks, points_name=what, x_label="epoch", y_label=label))
    return Picture(_stacked(panels, _time(history.get("time", {})), title), title)


def _of_epochs(history: Mapping[str, Any], name: str, epochs: int) -> Floats | None:
    values = history.get(name)
    if values is None or np.ndim(values) != 1 or len(values) != epochs or not epochs:
        return None
    return np.asarray(values, dtype=np.float64)


def _wants_log(values: Floats) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() / finite.min() > _LOG_RANGE)


def _stacked(panels: list[Picture], bottom: list[str], title: str) -> str:
    """One drawing, the panels one below the other."""
    body, y = [], 0.0
    for panel in panels:
        (height,) = re.findall(r'<svg [^>]*\bheight="([\d.]+)"', panel.svg)[:1]
        body.append(panel.svg.replace("<svg ", f'<svg y="{number(y)}" ', 1))
        y += float(height)
    if bottom:
        body.append(f'<g transform="translate(0 {number(y)})">{"".join(bottom)}</g>')
        y += _BAR_HEIGHT
    return drawing(_WIDTH, y, title, body)


def _time(seconds: Mapping[str, float]) -> list[str]:
    """A bar of the parts of a step, and below it what they are."""
    total = sum(seconds.values())
    if not total > 0:
        return []
    left, width = 52.0, _WIDTH - 70.0
    parts = [words(f"time of training: {total:.3g} s", left, 20, mute=True)]
    x, place = left, left
    for i, (name, value) in enumerate(sorted(seconds.items(), key=lambda part: -part[1])):
        colour, share = _PARTS[i % len(_PARTS)], value / total
        tip = escape(f"{name}: {value:.3g} s, {share:.1%}")
        bar = f'x="{number(x)}" y="32" width="{number(share * width)}" height="22" fill="{colour}"'
        parts.append(f"<rect {bar}><title>{tip}</title></rect>")
        x += share * width
        label = f"{name} {share:.0%}" if share >= 0.005 else f"{name} {share:.1%}"
        parts.append(f'<rect x="{number(place)}" y="70" width="14" height="10" rx="2" fill="{colour}"/>')
        parts.append(words(label, place + 20, 80, mute=True))
        place += 20 + text_width(label, 12) + 22
    return parts


def _on_axes(
    ax: Any, steps: Floats, ends: Floats, validation: Floats | None, window: int, log: bool, title: str
) -> Any:
    x = np.arange(1, len(steps) + 1)
    ax.plot(x, steps, color="#7aa6d8", linewidth=0.8, alpha=0.7, label="each step")
    if window > 1:
        mean = np.convolve(steps, np.full(window, 1 / window), mode="valid")
        ax.plot(x[window - 1 :], mean, color="#2f6fb7", linewidth=2, label=f"average of {window}")
    if validation is not None:
        ax.plot(ends, validation, "o-", color="#c2571a", markersize=4, label="validation")
    if log:
        ax.set_yscale("log")
    ax.set(xlabel="step", ylabel="loss", title=title)
    ax.legend()
    return ax

"""One sequential colour map that colour-blind readers can order, and text colours readable on it."""

from __future__ import annotations

import math

# Viridis (Smith and van der Walt, CC0) at ten even steps; between them, straight lines.
_VIRIDIS = (
    "440154",
    "482878",
    "3e4989",
    "31688e",
    "26828e",
    "1f9e89",
    "35b779",
    "6ece58",
    "b5de2b",
    "fde725",
)
_ANCHORS = tuple(tuple(int(colour[i : i + 2], 16) for i in (0, 2, 4)) for colour in _VIRIDIS)
MISSING = "#8b929c"


def sequential(share: float) -> str:
    """The colour of a value, 0 the lowest and 1 the highest: "#440154" to "#fde725"; NaN is grey."""
    if math.isnan(share):
        return MISSING
    place = min(max(share, 0.0), 1.0) * (len(_ANCHORS) - 1)
    low = min(int(place), len(_ANCHORS) - 2)
    channels = (
        round(a + (b - a) * (place - low)) for a, b in zip(_ANCHORS[low], _ANCHORS[low + 1], strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" as WCAG 2 defines it, 0 black to 1 white."""
    linear = []
    for i in (1, 3, 5):
        channel = int(colour[i : i + 2], 16) / 255
        linear.append(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def text_on(background: str) -> str:
    """Black or white, whichever is easier to read on the background."""
    return max("#000000", "#ffffff", key=lambda colour: contrast(colour, background))

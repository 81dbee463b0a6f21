r"""Confidence beside accuracy.

    confidence  c_i = max_k p_ik            predicted  ŷ_i = argmax_k p_ik
    bin b       the samples with e_{b-1} < c_i ≤ e_b
    ECE         Σ_b |B_b| / n · |accuracy(B_b) - confidence(B_b)|
    MCE         max_b |accuracy(B_b) - confidence(B_b)|, over bins that are not empty

Edges e: M even steps from 0 to 1 ("width"), or quantiles of the confidences ("mass").
Naeini et al. 2015; Guo et al. 2017, eq. 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..metrics._pairs import whole
from ..viz.picture import Picture, drawing, escape, number, words
from .scores import rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import TensorLike

_SIZE, _LEFT, _TOP, _COUNTS = 320.0, 62.0, 58.0, 70.0  # of the square, its margins, the bars below it


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """How often predictions of each confidence come true. In a notebook it shows itself."""

    edges: NDArray[np.float64]  #: (M + 1,)
    count: NDArray[np.int64]  #: (M,) samples of each bin
    confidence: NDArray[np.float64]  #: (M,) their mean confidence; NaN of an empty bin
    accuracy: NDArray[np.float64]  #: (M,) the share that is right; NaN of an empty bin

    @property
    def expected_error(self) -> float:
        """ECE: the mean gap of accuracy and confidence over the samples."""
        full = self.count > 0
        gaps = abs(self.accuracy[full] - self.confidence[full])
        return float(gaps @ self.count[full] / self.count.sum())

    @property
    def maximum_error(self) -> float:
        """MCE: the largest gap of a bin."""
        full = self.count > 0
        return float(abs(self.accuracy[full] - self.confidence[full]).max())

    def __repr__(self) -> str:
        return (
            f"ReliabilityCurve({len(self.count)} bins, {self.count.sum()} samples, "
            f"ECE {self.expected_error:.4f}, MCE {self.maximum_error:.4f})"
        )

    def draw(self, title: str = "") -> Picture:
        """Accuracy over confidence, a bar a bin, beside the diagonal of perfect calibration; counts below."""
        body = []
        low = _TOP + _SIZE
        if title:
            body.append(words(title, 12, 26, 15, extra='font-weight="600"'))
        note = f"ECE {self.expected_error:.3f}, {self.count.sum():,} samples"
        body.append(words(note, _LEFT, _TOP - 10, mute=True))
        for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
            x, y = _LEFT + share * _SIZE, low - share * _SIZE
            line = f'x1="{number(_LEFT)}" x2="{number(_LEFT + _SIZE)}" y1="{number(y)}" y2="{number(y)}"'
            body.append(f'<line class="line" {line} stroke-opacity="0.25"/>')
            body.append(words(f"{share:g}", _LEFT - 8, y + 4, anchor="end", mute=True))
            body.append(words(f"{share:g}", x, low + _COUNTS + 24, anchor="middle", mute=True))
        most = max(int(self.count.max()), 1)
        for b in np.flatnonzero(self.count):
            x, width = _LEFT + self.edges[b] * _SIZE, (self.edges[b + 1] - self.edges[b]) * _SIZE
            height, tall = self.accuracy[b] * _SIZE, self.count[b] / most * (_COUNTS - 14)
            tip = (
                f"confidence {self.edges[b]:.3g} to {self.edges[b + 1]:.3g}: {self.count[b]} samples, "
                f"mean {self.confidence[b]:.3f}, accuracy {self.accuracy[b]:.3f}"
            )
            place = f'x="{number(x + 0.5)}" width="{number(max(width - 1, 0.5))}"'
            bar = f'<rect {place} y="{number(low - height)}" height="{number(height)}"'
            body.append(f'{bar} style="fill:var(--light-line)"><title>{escape(tip)}</title></rect>')
            body.append(
                f'<rect {place} y="{number(low + 8)}" height="{number(tall)}" style="fill:var(--mute)"/>'
            )
            at = f'cx="{number(_LEFT + self.confidence[b] * _SIZE)}" cy="{number(low - height)}"'
            body.append(f'<circle {at} r="3.5" style="fill:var(--line)"/>')
        ends = f'x1="{number(_LEFT)}" y1="{number(low)}" x2="{number(_LEFT + _SIZE)}" y2="{number(_TOP)}"'
        body.append(f'<line {ends} stroke="#c2571a" stroke-width="1.5" stroke-dasharray="5 4"/>')
        body.append(words("confidence", _LEFT + _SIZE / 2, low + _COUNTS + 44, anchor="middle", mute=True))
        body.append(words("accuracy", 18, _TOP + _SIZE / 2, anchor="middle", angle=-90, mute=True))
        name = title or "reliability curve"
        return Picture(drawing(_LEFT + _SIZE + 24, low + _COUNTS + 56, name, body), name)

    def _repr_html_(self) -> str:
        return self.draw()._repr_html_()


def reliability_curve(
    probabilities: TensorLike,
    target: ArrayLike,
    *,
    bins: int = 15,
    binning: Literal["width", "mass"] = "width",
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
) -> ReliabilityCurve:
    """How often predictions of each confidence come true.

    Parameters
    ----------
    probabilities : array_like or Tensor, shape (..., V)
        Rows that sum to one. The confidence is the largest.
    target : array_like of int, shape (...)
        Class indices.
    bins : int
        M, 1 to 10000.
    binning : {"width", "mass"}
        Bins of one width, from 0 to 1; or with about as many samples each: equal confidences share a bin,
        so that there may be fewer bins.
    ignore_index, mask
        As of :func:`brier_score`.

    Returns
    -------
    ReliabilityCurve

    Raises
    ------
    ValueError, TypeError
        As :func:`brier_score`; and when bins is out of range or binning neither.

    References
    ----------
    Niculescu-Mizil and Caruana 2005, "Predicting Good Probabilities With Supervised Learning"; Guo et al.
    2017.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.4, 0.6]])
    >>> curve = at.calibration.reliability_curve(p, [0, 1, 1, 1], bins=5)
    >>> curve
    ReliabilityCurve(5 bins, 4 samples, ECE 0.3875, MCE 0.4000)
    >>> curve.count, curve.accuracy
    (array([0, 0, 1, 1, 2]), array([nan, nan, 1. , 1. , 0.5]))

    Source: python/attendo/calibration/reliability.py
    """
    call = "reliability_curve"
    p, y = rows(call, probabilities, target, ignore_index, mask)
    bins = whole(call, "bins", bins, 1, 10_000)
    if binning not in ("width", "mass"):
        raise ValueError(f"{call}: binning is {binning!r} but must be 'width' or 'mass'")
    confidence, right = p.max(1), p.argmax(1) == y
    edges = np.linspace(0.0, 1.0, bins + 1)
    if binning == "mass":
        inner = np.quantile(confidence, edges[1:-1], method="inverted_cdf")
        edges = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    # Open to the left, closed to the right: a confidence of 1 is in the last bin.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    sums = [np.bincount(place, weights=v, minlength=len(edges) - 1) for v in (confidence, right)]
    with np.errstate(invalid="ignore"):
        return ReliabilityCurve(edges, count, sums[0] / count, sums[1] / count)


def expected_calibration_error(
    probabilities: TensorLike,
    target: ArrayLike,
    *,
    bins: int = 15,
    binning: Literal["width", "mass"] = "width",
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
) -> float:
    r"""The mean gap between what predictions say of themselves and how often they are right.

    Parameters
    ----------
    probabilities, target, bins, binning, ignore_index, mask
        As of :func:`reliability_curve`. The number depends on the bins: compare numbers of the same.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        As :func:`reliability_curve`.

    Notes
    -----
    .. math:: \sum_b \frac{|B_b|}{n}\, \bigl|\mathrm{accuracy}(B_b) - \mathrm{confidence}(B_b)\bigr|

    References
    ----------
    Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; Guo et al. 2017,
    eq. 3.

    Examples
    --------
    >>> import attendo as at
    >>> at.calibration.expected_calibration_error([[1.0, 0.0], [1.0, 0.0]], [0, 1])
    0.5

    Source: python/attendo/calibration/reliability.py
    """
    return reliability_curve(
        probabilities, target, bins=bins, binning=binning, ignore_index=ignore_index, mask=mask
    ).expected_error

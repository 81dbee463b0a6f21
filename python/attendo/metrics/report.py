"""Precision, recall and F1 of each class, and their means, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._pairs import all_classes, pairs
from ._table import html_table, text_table
from .classification import precision_recall_f1

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ._pairs import Prediction, Target


@dataclass(frozen=True)
class Report:
    """Precision, recall and F1 of each class, and their means; prints as a table, in a notebook too."""

    classes: NDArray[Any]  #: (K,)
    precision: NDArray[np.float64]  #: (K,)
    recall: NDArray[np.float64]  #: (K,)
    f1: NDArray[np.float64]  #: (K,)
    support: NDArray[Any]  #: (K,), how many targets, or their weight
    accuracy: float
    macro: dict[str, float]  #: ``precision``, ``recall`` and ``f1``, each the mean over the classes
    weighted: dict[str, float]  #: the same, each class as often as it is a target

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        def line(name: str, numbers: Sequence[float], support: float) -> list[str]:
            return [name, *(f"{n:.3f}" for n in numbers), f"{support:g}"]

        total = float(self.support.sum())
        columns = zip(self.classes, self.precision, self.recall, self.f1, self.support, strict=True)
        rows = [line(str(c), (p, r, f), s) for c, p, r, f, s in columns]
        rows.append(["accuracy", "", "", f"{self.accuracy:.3f}", f"{total:g}"])
        rows.append(line("macro average", [*self.macro.values()], total))
        rows.append(line("weighted average", [*self.weighted.values()], total))
        return ["", "precision", "recall", "F1", "support"], rows

    def text(self) -> str:
        """The table."""
        return text_table(*self._rows())

    def _repr_html_(self) -> str:
        return html_table(*self._rows())

    def __repr__(self) -> str:
        return self.text()


def classification_report(
    prediction: Prediction,
    target: Target,
    *,
    classes: Sequence[Any] | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Report:
    """Precision, recall and F1 of each class.

    Parameters
    ----------
    prediction, target
        As of :func:`accuracy`.
    classes : sequence of labels, optional
        Which, and in which order; those that are a target or a prediction when not given.
    zero_division, threshold, ignore_index, mask, sample_weight
        As of :func:`f1`.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError, ImportError
        As :func:`f1`.

    Examples
    --------
    >>> import attendo as at
    >>> at.metrics.classification_report([0, 1, 1, 2], [0, 1, 2, 2])
                      precision  recall     F1  support
    0                     1.000   1.000  1.000        1
    1                     0.500   1.000  0.667        1
    2                     1.000   0.500  0.667        2
    accuracy                             0.750        4
    macro average         0.833   0.833  0.778        4
    weighted average      0.875   0.750  0.750        4

    Source: python/attendo/metrics/report.py
    """
    call = "classification_report"
    found = pairs(
        call,
        prediction,
        target,
        threshold=threshold,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )
    which = all_classes(call, found, classes)
    p, r, f, support = precision_recall_f1(found, which, None, zero_division)
    names = ("precision", "recall", "f1")
    means = {a: precision_recall_f1(found, which, a, zero_division)[:3] for a in ("macro", "weighted")}
    return Report(
        which,
        p,
        r,
        f,
        support,
        float(np.average(found.prediction == found.target, weights=found.weight)),
        {n: float(v) for n, v in zip(names, means["macro"], strict=True)},
        {n: float(v) for n, v in zip(names, means["weighted"], strict=True)},
    )

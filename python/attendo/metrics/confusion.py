"""The confusion matrix: counts[i, j] = how often target i was predicted to be j."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._lazy import require
from ._pairs import all_classes, pairs
from ._table import html_table, text_table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from ..viz import Picture
    from ._pairs import Prediction, Target

_MOST = 10_000  # whose square of numbers fits into memory


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often each target was predicted to be what: an array, a table, a picture.

    ``np.asarray(matrix)`` and ``matrix.counts`` are the numbers, with a row for each target.
    """

    counts: NDArray[Any]  #: (K, K), rows are targets, columns predictions
    classes: NDArray[Any]  #: (K,)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.counts, dtype=dtype)

    def normalized(self, over: Literal["target", "prediction", "all"] = "target") -> NDArray[np.float64]:
        """Shares: of each target (the diagonal is recall), of each prediction (precision), or of all.

        A class that never occurs has a row or column of zeros.
        """
        axis = {"target": 1, "prediction": 0, "all": None}
        if over not in axis:
            raise ValueError(f"normalized: over is {over!r} but must be one of {tuple(axis)}")
        total = self.counts.sum(axis=axis[over], keepdims=True)
        out: NDArray[np.float64] = np.zeros(self.counts.shape)
        np.divide(self.counts, total, out=out, where=total > 0)
        return out

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        names = [str(c) for c in self.classes]
        return ["target \\ prediction", *names], [
            [name, *(f"{n:g}" for n in row)] for name, row in zip(names, self.counts.tolist(), strict=True)
        ]

    def text(self) -> str:
        """The table."""
        return text_table(*self._rows())

    def draw(self, over: Literal["target", "prediction", "all"] = "target") -> Picture:
        """The shares as coloured cells."""
        from ..viz import heatmap

        names = [str(c) for c in self.classes]
        return heatmap(
            self.normalized(over), names, names, x_title="prediction", y_title="target", low=0.0, high=1.0
        )

    def _repr_html_(self) -> str:
        return html_table(*self._rows())

    def __repr__(self) -> str:
        return self.text()


def confusion_matrix(
    prediction: Prediction,
    target: Target,
    *,
    classes: Sequence[Any] | None = None,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> ConfusionMatrix:
    """How often each target was predicted to be what.

    Parameters
    ----------
    prediction, target
        As of :func:`accuracy`.
    classes : sequence of labels, optional
        All of them, in the order of the rows; those that are a target or a prediction when not given.
    threshold, ignore_index, mask, sample_weight
        As of :func:`accuracy`.

    Returns
    -------
    ConfusionMatrix

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy`; and when a target or a prediction is none of the classes (nothing is dropped).
    ImportError
        When scikit-learn is not installed: ``pip install "attendo[learn]"``.

    Examples
    --------
    >>> import attendo as at
    >>> at.metrics.confusion_matrix(["cat", "dog", "dog"], ["cat", "cat", "dog"])
    target \\ prediction  cat  dog
    cat                    1    1
    dog                    0    1

    Source: python/attendo/metrics/confusion.py
    """
    call = "confusion_matrix"
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
    if len(which) > _MOST:
        raise ValueError(f"{call}: {len(which)} classes are too many for a matrix: {_MOST} at most")
    for name, labels in (("target", found.target), ("prediction", found.prediction)):
        strange = set(labels.tolist()) - set(which.tolist())
        if strange:
            raise ValueError(f"{call}: {name} has {min(strange)!r}, which is none of classes")
    counts = require("sklearn.metrics", "learn").confusion_matrix(
        found.target, found.prediction, labels=which, sample_weight=found.weight
    )
    return ConfusionMatrix(counts, which)

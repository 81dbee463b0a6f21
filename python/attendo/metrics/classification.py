r"""Accuracy, precision, recall and F1.

    accuracy     the share of targets that are predicted
    precision_k  TP / (TP + FP)        of what is said to be k, the share that is
    recall_k     TP / (TP + FN)        of what is k, the share that is said to be
    F1_k         2 TP / (2 TP + FP + FN)

prediction: scores (..., V) or labels (...), target: labels (...). Powers 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .._lazy import require
from ._pairs import Pairs, all_classes, pairs, same_kind, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ._pairs import Prediction, Target

    Average: TypeAlias = Literal["macro", "micro", "weighted", "binary"]

_AVERAGES = ("macro", "micro", "weighted", "binary")


def accuracy(
    prediction: Prediction,
    target: Target,
    *,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""The share of targets that are predicted.

    Parameters
    ----------
    prediction : array_like or Tensor, shape (..., V) of numbers, or (...) of labels
        Scores of the classes, logits or probabilities: the largest is predicted, the first of equal ones. Or
        labels, of target's shape and kind.
    target : array_like, shape (...)
        Labels: integers, bools or strings; with scores, indices of classes, 0 to V - 1.
    threshold : float, optional
        For one score a target, a prediction of target's shape: above it is class 1, else 0. 0.5 for
        probabilities, 0 for logits.
    ignore_index : int, optional
        Targets that do not count: padding.
    mask : array_like of bool, shape (...), optional
        True where a target counts.
    sample_weight : array_like, shape of target or of its first axes, optional
        How much each counts.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        When the shapes are neither, a target is no index of the scores, a score is NaN, or nothing counts.
    TypeError
        When labels are floats, or prediction and target are of two kinds.

    Notes
    -----
    .. math:: \frac{\sum_i w_i [\hat y_i = y_i]}{\sum_i w_i}

    Examples
    --------
    >>> import attendo as at
    >>> at.metrics.accuracy(["cat", "dog"], ["cat", "cat"])
    0.5
    >>> at.metrics.accuracy([0.2, 0.9, 0.7], [0, 1, 0], threshold=0.5)
    0.6666666666666666

    Source: python/attendo/metrics/classification.py
    """
    found = pairs(
        "accuracy",
        prediction,
        target,
        threshold=threshold,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )
    return float(np.average(found.prediction == found.target, weights=found.weight))


def top_k_accuracy(
    prediction: Prediction,
    target: Target,
    k: int = 5,
    *,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """The share of targets that are among the k highest scores.

    Parameters
    ----------
    prediction : array_like or Tensor, shape (..., V)
        Scores. Of equal ones the first is the higher, as in :func:`accuracy`: with k = 1 both agree.
    target : array_like of int, shape (...)
    k : int
        1 to V.
    ignore_index, mask, sample_weight
        As of :func:`accuracy`.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy`; and when prediction is labels or k is out of range.

    Examples
    --------
    >>> import attendo as at
    >>> at.metrics.top_k_accuracy([[0.1, 0.5, 0.4], [0.7, 0.2, 0.1]], [2, 2], k=2)
    0.5

    Source: python/attendo/metrics/classification.py
    """
    found = pairs(
        "top_k_accuracy",
        prediction,
        target,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )
    scores = found.scores
    if scores is None:
        raise ValueError(
            "top_k_accuracy: prediction is labels but must be scores, with a last axis of classes"
        )
    k = whole("top_k_accuracy", "k", k, 1, scores.shape[1])
    own = np.take_along_axis(scores, found.target[:, None].astype(np.int64), 1)
    earlier = np.arange(scores.shape[1]) < found.target[:, None]
    rank = (scores > own).sum(1) + ((scores == own) & earlier).sum(1)
    return float(np.average(rank < k, weights=found.weight))


def precision_recall_f1(found: Pairs, classes: NDArray[Any], average: str | None, empty: float) -> Any:
    """scikit-learn's precision, recall, F1 and support."""
    return require("sklearn.metrics", "learn").precision_recall_fscore_support(
        found.target,
        found.prediction,
        labels=classes,
        average=average,
        sample_weight=found.weight,
        zero_division=empty,
    )


def _averaged(
    call: str,
    which: int,
    prediction: Prediction,
    target: Target,
    average: Average | None,
    positive: Any,
    classes: Sequence[Any] | None,
    zero_division: float,
    **options: Any,
) -> Any:
    if average is not None and average not in _AVERAGES:
        raise ValueError(f"{call}: average is {average!r} but must be None or one of {_AVERAGES}")
    if (positive is None) == (average == "binary"):
        raise ValueError(
            f"{call}: average='binary' needs positive=, the class that is meant; no other average takes it"
        )
    if average == "binary" and classes is not None:
        raise ValueError(f"{call}: with average='binary' there is one class, positive, and no classes=")
    if zero_division not in (0, 1) and zero_division == zero_division:
        raise ValueError(f"{call}: zero_division is {zero_division!r} but must be 0, 1 or NaN")
    found = pairs(call, prediction, target, **options)
    if average == "binary":
        same_kind(call, "positive", np.array([positive]), found)
        return float(precision_recall_f1(found, np.array([positive]), None, zero_division)[which][0])
    out = precision_recall_f1(found, all_classes(call, found, classes), average, zero_division)[which]
    return out if average is None else float(out)


_PAGE = """{summary}

    Parameters
    ----------
    prediction : array_like or Tensor, shape (..., V) of numbers, or (...) of labels
        Scores of the classes, of which the largest is predicted; or labels, of target's shape.
    target : array_like, shape (...)
        Labels; with scores, indices of classes.
    average : {{"macro", "micro", "weighted", "binary"}} or None
        The mean over the classes; over all predictions; over the classes, each as often as it is a target;
        that of one class, ``positive``, against all others. None: one number for each class.
    positive : label
        With ``average="binary"``, and needed there: which class is meant is never guessed.
    classes : sequence of labels, optional
        The classes to average over, or to give; those that are a target or a prediction when not given.
    zero_division : float
        What 0 / 0 is, of a class that is never {never}: 0, 1 or NaN, which is left out of averages.
    threshold, ignore_index, mask, sample_weight
        As of :func:`accuracy`.

    Returns
    -------
    float, or with ``average=None`` ndarray of float64, shape (classes,)

    Raises
    ------
    ValueError, TypeError
        As :func:`accuracy`; and when average is none of its words.
    ImportError
        When scikit-learn is not installed: ``pip install "attendo[learn]"``.

    Notes
    -----
    .. math:: {formula}

    Examples
    --------
    >>> import attendo as at
    >>> at.metrics.{name}([0, 1, 1, 2], [0, 1, 2, 2], average=None){shown}

    Source: python/attendo/metrics/classification.py
    """


def precision(
    prediction: Prediction,
    target: Target,
    *,
    average: Average | None = "macro",
    positive: Any = None,
    classes: Sequence[Any] | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Any:
    return _averaged(
        "precision",
        0,
        prediction,
        target,
        average,
        positive,
        classes,
        zero_division,
        threshold=threshold,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )


def recall(
    prediction: Prediction,
    target: Target,
    *,
    average: Average | None = "macro",
    positive: Any = None,
    classes: Sequence[Any] | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Any:
    return _averaged(
        "recall",
        1,
        prediction,
        target,
        average,
        positive,
        classes,
        zero_division,
        threshold=threshold,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )


def f1(
    prediction: Prediction,
    target: Target,
    *,
    average: Average | None = "macro",
    positive: Any = None,
    classes: Sequence[Any] | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Any:
    return _averaged(
        "f1",
        2,
        prediction,
        target,
        average,
        positive,
        classes,
        zero_division,
        threshold=threshold,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )


precision.__doc__ = _PAGE.format(
    name="precision",
    summary="Of what is predicted to be a class, the share that is it.",
    never="predicted",
    formula=r"\mathrm{TP} / (\mathrm{TP} + \mathrm{FP})",
    shown="\n    array([1. , 0.5, 1. ])",
)
recall.__doc__ = _PAGE.format(
    name="recall",
    summary="Of what is a class, the share that is predicted to be it.",
    never="a target",
    formula=r"\mathrm{TP} / (\mathrm{TP} + \mathrm{FN})",
    shown="\n    array([1. , 1. , 0.5])",
)
f1.__doc__ = _PAGE.format(
    name="f1",
    summary="The harmonic mean of precision and recall.",
    never="either",
    formula=r"2\,\mathrm{TP} / (2\,\mathrm{TP} + \mathrm{FP} + \mathrm{FN})",
    shown=".round(2)\n    array([1.  , 0.67, 0.67])",
)

"""Predictions and targets side by side: what is a label, what is a score, and what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import TensorLike

    #: Scores of classes (..., V), or labels of target's shape.
    Prediction: TypeAlias = TensorLike
    #: Labels: integers, bools or strings.
    Target: TypeAlias = ArrayLike

_LABELS = "biuOUS"


@dataclass(frozen=True)
class Pairs:
    """What counts, one row each."""

    prediction: NDArray[Any]  #: labels (n,)
    target: NDArray[Any]  #: labels (n,)
    weight: NDArray[np.float64] | None  #: (n,)
    scores: NDArray[Any] | None  #: (n, V), where prediction was scores
    keep: NDArray[np.bool_]  #: which of all targets these are


def array(call: str, name: str, values: Any) -> NDArray[Any]:
    """Any array, list or Tensor as an array; an error that names the argument for what is none."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{call}: {name} is no array: {error}") from None


def kept(
    call: str, target: NDArray[Any], ignore_index: int | None, mask: ArrayLike | None
) -> NDArray[np.bool_]:
    """Which targets count, of target's shape."""
    keep = np.ones(target.shape, bool)
    if mask is not None:
        given = array(call, "mask", mask)
        if given.dtype != bool:
            raise TypeError(
                f"{call}: mask has dtype {given.dtype} but must be bool, True where a target counts"
            )
        if given.shape != target.shape:
            raise ValueError(f"{call}: mask has shape {given.shape} but target has {target.shape}")
        keep &= given
    if ignore_index is not None:
        if target.dtype.kind not in "iu":
            raise TypeError(f"{call}: ignore_index is for targets of integers, and these are {target.dtype}")
        keep &= target != ignore_index
    return keep


def pairs(
    call: str,
    prediction: Prediction,
    target: Target,
    *,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Pairs:
    """Labels of predictions and targets that count, in a row."""
    given, truth = array(call, "prediction", prediction), array(call, "target", target)
    if truth.dtype.kind not in _LABELS:
        raise TypeError(
            f"{call}: target has dtype {truth.dtype} but must be labels: integers, bools or strings"
            + (" (target.argmax(-1) of one-hot rows)" if truth.shape == given.shape else "")
        )
    keep = kept(call, truth, ignore_index, mask)
    scores = None
    if given.shape == truth.shape:
        labels = _labels(call, given, threshold)[keep]
    elif given.ndim and given.shape[:-1] == truth.shape:
        scores = _scores(call, given, threshold)[keep]
        labels = scores.argmax(-1)
    else:
        raise ValueError(
            f"{call}: prediction has shape {given.shape} but must be {truth.shape}, target's, for labels, or "
            f"{(*truth.shape, 'V')} for scores of V classes"
        )
    truth = truth[keep]
    if scores is not None:
        _check_classes(call, truth, scores.shape[1])
    elif (labels.dtype.kind in "OUS") != (truth.dtype.kind in "OUS"):
        raise TypeError(f"{call}: prediction has dtype {labels.dtype} but target has {truth.dtype}")
    if not truth.size:
        raise ValueError(f"{call}: no target counts")
    return Pairs(labels, truth, _weights(call, sample_weight, keep), scores, keep)


def _labels(call: str, given: NDArray[Any], threshold: float | None) -> NDArray[Any]:
    if given.dtype.kind == "f" and threshold is not None:
        if np.isnan(given).any():
            raise ValueError(f"{call}: prediction has NaN")
        return (given > threshold).astype(np.int64)
    if threshold is not None:
        raise TypeError(f"{call}: threshold is for predictions of floats, and these are {given.dtype}")
    if given.dtype.kind not in _LABELS:
        raise TypeError(
            f"{call}: prediction has dtype {given.dtype} and target's shape, {given.shape}: give labels, "
            "scores of every class in a last axis, or, of two classes, threshold= (0.5 for probabilities, 0 "
            "for logits)"
        )
    return given


def _scores(call: str, given: NDArray[Any], threshold: float | None) -> NDArray[Any]:
    if given.dtype.kind not in "fiu":
        raise TypeError(f"{call}: prediction has dtype {given.dtype} but scores must be numbers")
    if threshold is not None or given.shape[-1] < 2:
        raise ValueError(
            f"{call}: prediction has scores of {given.shape[-1]} classes: a threshold is for one score a "
            "target, of target's shape (prediction[..., 0])"
        )
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise ValueError(f"{call}: prediction has NaN")
    return given


def _check_classes(call: str, truth: NDArray[Any], classes: int) -> None:
    if truth.dtype.kind not in "biu":
        raise TypeError(f"{call}: with scores, target must be indices of classes, and it is {truth.dtype}")
    if truth.size and (truth.min() < 0 or truth.max() >= classes):
        wrong = truth.min() if truth.min() < 0 else truth.max()
        raise ValueError(f"{call}: target has {wrong} but prediction has scores of {classes} classes")


def _weights(
    call: str, sample_weight: ArrayLike | None, keep: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    if sample_weight is None:
        return None
    weight = array(call, "sample_weight", sample_weight)
    if weight.dtype.kind not in "fiub":
        raise TypeError(f"{call}: sample_weight has dtype {weight.dtype} but must be of numbers")
    if weight.ndim == 0 or weight.shape != keep.shape[: weight.ndim]:
        raise ValueError(f"{call}: sample_weight has shape {weight.shape} but target has {keep.shape}")
    spread = weight.reshape(weight.shape + (1,) * (keep.ndim - weight.ndim))
    out = np.broadcast_to(spread, keep.shape)[keep].astype(np.float64)
    if not (np.isfinite(out).all() and (out >= 0).all() and out.sum() > 0):
        raise ValueError(f"{call}: sample_weight must be finite, 0 or more, and not all 0")
    return out


def whole(call: str, name: str, value: Any, low: int, high: int | None = None) -> int:
    """A whole number from low to high.

    Raises
    ------
    TypeError
        When it is none.
    ValueError
        When it is out of range.
    """
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{call}: {name} is {value!r} but must be a whole number") from None
    if number < low or (high is not None and number > high):
        must = f"{low} or more" if high is None else f"{low} to {high}"
        raise ValueError(f"{call}: {name} is {number} but must be {must}")
    return number


def distinct(call: str, name: str, labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The different labels in order, and the place of each entry among them."""
    try:
        found, places = np.unique(labels, return_inverse=True)
    except TypeError:
        raise TypeError(f"{call}: {name} has labels of several kinds: {labels[:3].tolist()} ...") from None
    return found, places.reshape(-1)


def same_kind(call: str, name: str, labels: NDArray[Any], found: Pairs) -> None:
    """1 is not "1"."""
    if (labels.dtype.kind in "OUS") != (found.target.dtype.kind in "OUS"):
        raise TypeError(f"{call}: {name} has dtype {labels.dtype} but target has {found.target.dtype}")


def all_classes(call: str, found: Pairs, classes: Sequence[Any] | None) -> NDArray[Any]:
    """The classes that were given, each once, or those that occur."""
    if classes is None:
        return distinct(call, "target", np.concatenate([found.target, found.prediction]))[0]
    out = array(call, "classes", list(classes))
    if out.ndim != 1 or not out.size or len(set(out.tolist())) != out.size:
        raise ValueError(f"{call}: classes must be a row of different labels")
    same_kind(call, "classes", out, found)
    return out

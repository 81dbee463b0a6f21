r"""Whether a classifier serves every group alike, and what narrows the gaps before training.

    selection rate       P(ŷ = +)             of a group
    true positive rate   P(ŷ = + | y = +)
    false positive rate  P(ŷ = + | y ≠ +)
    demographic parity difference   the largest selection rate less the smallest, over the groups
    equalized odds difference       the larger of the two gaps, of true and of false positive rates

    class weights        w_k = n / (K n_k)                     n samples, n_k of class k, K classes
    group weights        w_i = P(g_i) P(y_i) / P(g_i, y_i)     Kamiran and Calders 2012, alg. 3

Dwork et al. 2012 (demographic parity); Hardt et al. 2016 (equalized odds). Article 002 §9 question 4.

>>> import attendo as at
>>> at.fairness.class_weights([0, 0, 0, 1])
array([0.66666667, 2.        ])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .metrics._pairs import Pairs, array, distinct, pairs, whole
from .metrics._table import html_table, text_table
from .metrics.classification import f1

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .metrics._pairs import Prediction, Target

__all__ = ["FairnessReport", "class_weights", "group_weights", "report", "resample"]

_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def __dir__() -> list[str]:
    return __all__


@dataclass(frozen=True)
class FairnessReport:
    """Numbers of each group and the gaps between them; prints as a table, in a notebook too.

    A rate that a group does not have (the true positive rate where nothing is positive) is NaN, and has no
    part in a gap; a gap of fewer than two groups is NaN.
    """

    groups: dict[Any, dict[str, float]]  #: of each group ``count``, ``accuracy``, ``f1``, and the three rates
    #: ``accuracy``, ``f1``: the largest less the smallest; where there is a positive class also
    #: ``demographic_parity``, ``equal_opportunity`` (of true positive rates) and ``equalized_odds``
    gaps: dict[str, float]

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        names = list(next(iter(self.groups.values())))
        rows = [
            [str(group), *(f"{v:g}" if n == "count" else f"{v:.3f}" for n, v in numbers.items())]
            for group, numbers in self.groups.items()
        ]
        return ["group", *(name.replace("_", " ") for name in names)], rows

    def _gap_rows(self) -> tuple[list[str], list[list[str]]]:
        return ["gap", ""], [[name.replace("_", " "), f"{v:.3f}"] for name, v in self.gaps.items()]

    def text(self) -> str:
        """The table of the groups, and that of the gaps."""
        return text_table(*self._rows()) + "\n\n" + text_table(*self._gap_rows())

    def _repr_html_(self) -> str:
        return f"<div>{html_table(*self._rows())}{html_table(*self._gap_rows())}</div>"

    def __repr__(self) -> str:
        return self.text()


def report(
    prediction: Prediction,
    target: Target,
    group: ArrayLike,
    *,
    positive: Any = None,
    threshold: float | None = None,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> FairnessReport:
    r"""Accuracy, F1 and rates of each group, and the gaps between groups.

    Parameters
    ----------
    prediction : array_like or Tensor, shape (..., V) of numbers, or (...) of labels
        As of :func:`attendo.metrics.accuracy`.
    target : array_like, shape (...)
        Labels.
    group : array_like, shape of target or of its first axes
        Which group each belongs to: integers, bools or strings. With ``group=target`` the groups are the
        classes, and their accuracy is recall.
    positive : label, optional
        The class that is the favourable outcome: the rates are of it, and F1 is. Without it there are no
        rates, and F1 is the mean over the classes of the group.
    threshold, ignore_index, mask, sample_weight
        As of :func:`attendo.metrics.accuracy`.

    Returns
    -------
    FairnessReport

    Raises
    ------
    ValueError, TypeError
        As :func:`attendo.metrics.accuracy`; when group has another shape or is no label, or positive is
        neither a target nor a prediction.
    ImportError
        When scikit-learn is not installed: ``pip install "attendo[learn]"``.

    Notes
    -----
    .. math::

        \text{demographic parity} = \max_g P(\hat y = + \mid g) - \min_g P(\hat y = + \mid g), \qquad
        \text{equalized odds} = \max_y \bigl(
        \max_g P(\hat y = + \mid y, g) - \min_g P(\hat y = + \mid y, g)\bigr)

    References
    ----------
    Dwork et al. 2012, "Fairness Through Awareness"; Hardt et al. 2016, "Equality of Opportunity in Supervised
    Learning". Article 002 §9 question 4.

    Examples
    --------
    >>> import attendo as at
    >>> at.fairness.report([1, 1, 0, 0, 1, 0], [1, 0, 1, 0, 1, 0], list("aabbbb"), positive=1)
    group  count  accuracy     f1  selection rate  true positive rate  false positive rate
    a          2     0.500  0.667           1.000               1.000                1.000
    b          4     0.750  0.667           0.250               0.500                0.000
    <BLANKLINE>
    gap
    accuracy            0.250
    f1                  0.000
    demographic parity  0.750
    equal opportunity   0.500
    equalized odds      1.000

    Source: python/attendo/fairness.py
    """
    call = "report"
    found = pairs(
        call,
        prediction,
        target,
        threshold=threshold,
        ignore_index=ignore_index,
        mask=mask,
        sample_weight=sample_weight,
    )
    if positive is not None and not ((found.target == positive) | (found.prediction == positive)).any():
        raise ValueError(f"{call}: positive is {positive!r}, which is neither a target nor a prediction")
    of = _spread(call, group, found.keep)
    groups = {g: _numbers(found, of == g, positive) for g in distinct(call, "group", of)[0].tolist()}

    def gap(name: str) -> float:
        values = np.array([numbers[name] for numbers in groups.values()])
        values = values[~np.isnan(values)]
        return float(np.ptp(values)) if len(values) > 1 else float("nan")

    gaps = {"accuracy": gap("accuracy"), "f1": gap("f1")}
    if positive is not None:
        parity, opportunity, false = (gap(name) for name in _RATES)
        gaps |= {"demographic_parity": parity, "equal_opportunity": opportunity}
        gaps["equalized_odds"] = float(np.fmax(opportunity, false))
    return FairnessReport(groups, gaps)


def _spread(call: str, group: ArrayLike, keep: NDArray[np.bool_]) -> NDArray[Any]:
    """The group of each target that counts."""
    given = array(call, "group", group)
    if given.dtype.kind not in "biuOUS":
        raise TypeError(f"{call}: group has dtype {given.dtype} but must be integers, bools or strings")
    if given.ndim == 0 or given.shape != keep.shape[: given.ndim]:
        raise ValueError(f"{call}: group has shape {given.shape} but target has {keep.shape}")
    out: NDArray[Any] = np.broadcast_to(
        given.reshape(given.shape + (1,) * (keep.ndim - given.ndim)), keep.shape
    )[keep]
    return out


def _numbers(found: Pairs, own: NDArray[np.bool_], positive: Any) -> dict[str, float]:
    prediction, target = found.prediction[own], found.target[own]
    weight = np.ones(len(target)) if found.weight is None else found.weight[own]

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> float:
        w = weight if among is None else weight[among]
        return float(w @ (of if among is None else of[among]) / w.sum()) if w.sum() > 0 else float("nan")

    if not weight.sum() > 0:
        f = float("nan")
    elif positive is None:
        f = f1(prediction, target, sample_weight=weight)
    else:
        f = f1(prediction, target, average="binary", positive=positive, sample_weight=weight)
    out = {"count": float(len(target)), "accuracy": share(prediction == target), "f1": f}
    if positive is not None:
        said, true = prediction == positive, target == positive
        rates = (share(said), share(said, true), share(said, ~true))
        out |= dict(zip(_RATES, rates, strict=True))
    return out


def _row(call: str, name: str, values: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The different labels of a row, and the place of each entry among them."""
    given = array(call, name, values)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"{call}: {name} has shape {given.shape} but must be a row of labels, (n,)")
    if given.dtype.kind not in "biuOUS":
        raise TypeError(f"{call}: {name} has dtype {given.dtype} but must be integers, bools or strings")
    return distinct(call, name, given)


def class_weights(
    y: ArrayLike, num_classes: int | None = None, *, ignore_index: int | None = None
) -> NDArray[np.float64]:
    r"""A weight for each class, such that all classes that occur weigh the same together.

    Parameters
    ----------
    y : array_like of int, shape (...)
        Class indices.
    num_classes : int, optional
        V; the largest index and one when not given.
    ignore_index : int, optional
        Targets that do not count: padding.

    Returns
    -------
    ndarray of float64, shape (V,)
        0 for a class that does not occur. ``class_weights(y)[y]`` are weights of samples; their mean is 1.

    Raises
    ------
    ValueError
        When nothing counts, or an index is negative or not below num_classes.
    TypeError
        When y is not of integers.

    Notes
    -----
    .. math:: w_k = \frac{n}{K n_k}

    for n samples, :math:`n_k` of class k, K classes that occur: what scikit-learn calls "balanced".

    References
    ----------
    King and Zeng 2001, "Logistic Regression in Rare Events Data".

    Examples
    --------
    >>> import attendo as at
    >>> at.fairness.class_weights([0, 0, 0, 1])
    array([0.66666667, 2.        ])

    Source: python/attendo/fairness.py
    """
    call = "class_weights"
    given = array(call, "y", y)
    if given.dtype.kind not in "iu":
        raise TypeError(
            f"{call}: y has dtype {given.dtype} but must be class indices, such as "
            "np.unique(y, return_inverse=True)[1]"
        )
    given = given.reshape(-1) if ignore_index is None else given[given != ignore_index]
    if not given.size:
        raise ValueError(f"{call}: y has no target that counts")
    most = whole(call, "num_classes", int(given.max()) + 1 if num_classes is None else num_classes, 0, 2**24)
    if given.min() < 0 or given.max() >= most:
        wrong = given.min() if given.min() < 0 else given.max()
        raise ValueError(f"{call}: y has {wrong} but must be 0 to {most - 1}")
    labels, counts = np.unique(given, return_counts=True)
    out = np.zeros(most)
    out[labels] = given.size / (len(labels) * counts)
    return out


def group_weights(y: ArrayLike, group: ArrayLike) -> NDArray[np.float64]:
    r"""A weight for each sample, under which class and group are independent.

    Parameters
    ----------
    y, group : array_like, shape (n,)
        Labels: integers, bools or strings.

    Returns
    -------
    ndarray of float64, shape (n,)
        For ``fit(sample_weight=)``. The weights of a class, and those of a group, add up to its size. A class
        that a group does not have at all cannot be weighed into it.

    Raises
    ------
    ValueError
        When they are no rows of one length.
    TypeError
        When they are not labels.

    Notes
    -----
    .. math:: w_i = \frac{P(g_i)\, P(y_i)}{P(g_i, y_i)}

    References
    ----------
    Kamiran and Calders 2012, "Data Preprocessing Techniques for Classification without Discrimination", §4.3.

    Examples
    --------
    >>> import attendo as at
    >>> at.fairness.group_weights([1, 1, 1, 0, 0, 0], list("aaabab"))
    array([0.66666667, 0.66666667, 0.66666667, 0.5       , 2.        ,
           0.5       ])

    Source: python/attendo/fairness.py
    """
    call = "group_weights"
    (labels, i), (groups, g) = _row(call, "y", y), _row(call, "group", group)
    if len(i) != len(g):
        raise ValueError(f"{call}: group has {len(g)} entries but y has {len(i)}")
    joint = np.bincount(i * len(groups) + g, minlength=len(labels) * len(groups))
    joint = joint.reshape(len(labels), len(groups))
    together = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    out: NDArray[np.float64] = together[i, g] / (len(i) * joint[i, g])
    return out


def resample(
    y: ArrayLike,
    group: ArrayLike | None = None,
    *,
    strategy: Literal["over", "under"] = "over",
    seed: int = 0,
) -> NDArray[np.int64]:
    """Samples such that every class, or every class of every group, occurs as often.

    Parameters
    ----------
    y : array_like, shape (n,)
        Labels: integers, bools or strings.
    group : array_like, shape (n,), optional
        Each class of each group is then brought to one size; a class that a group does not have stays away.
    strategy : {"over", "under"}
        Repeat samples up to the size of the largest, or leave samples out down to the size of the smallest.
    seed : int
        Decides which, and their order.

    Returns
    -------
    ndarray of int64, shape (m,)
        Indices, in random order: ``x[i], y[i]`` is what to train on. Split off what you validate on before: a
        sample that is repeated must not be on both sides.

    Raises
    ------
    ValueError
        When they are no rows of one length, strategy is neither, or seed is negative.
    TypeError
        When they are not labels.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> y = np.array([0, 0, 0, 0, 1])
    >>> np.bincount(y[at.fairness.resample(y)]), np.bincount(y[at.fairness.resample(y, strategy="under")])
    (array([4, 4]), array([1, 1]))

    Source: python/attendo/fairness.py
    """
    call = "resample"
    _, cell = _row(call, "y", y)
    if group is not None:
        groups, g = _row(call, "group", group)
        if len(g) != len(cell):
            raise ValueError(f"{call}: group has {len(g)} entries but y has {len(cell)}")
        cell = cell * len(groups) + g
    if strategy not in ("over", "under"):
        raise ValueError(f"{call}: strategy is {strategy!r} but must be 'over' or 'under'")
    seed = whole(call, "seed", seed, 0)
    members = [np.flatnonzero(cell == c) for c in np.unique(cell)]
    pick: Callable[..., int] = max if strategy == "over" else min
    size = pick(len(m) for m in members)
    rng = np.random.default_rng(seed)
    drawn = []
    for m in members:
        # Whole copies, and then some: no sample occurs twice more often than another.
        drawn += [np.repeat(m, size // len(m)), rng.choice(m, size % len(m), replace=False)]
    return rng.permutation(np.concatenate(drawn)).astype(np.int64)

r"""Scores that reward honest probabilities.

    Brier   mean over samples of Σ_k (p_k - [y = k])²      Brier 1950, eq. 2: 0 to 2
    NLL     mean over samples of -log p_y

p: (..., V), rows that sum to one; y: (...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics._pairs import array, kept

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .._typing import TensorLike


def rows(
    call: str,
    probabilities: TensorLike,
    target: ArrayLike,
    ignore_index: int | None,
    mask: ArrayLike | None,
    *,
    logits: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What counts: probabilities (n, V), or logits, and class indices (n,)."""
    name = "logits" if logits else "probabilities"
    given, truth = array(call, name, probabilities), array(call, "target", target)
    if given.dtype.kind != "f":
        raise TypeError(f"{call}: {name} has dtype {given.dtype} but must be of floats")
    if truth.dtype.kind not in "biu":
        raise TypeError(f"{call}: target has dtype {truth.dtype} but must be class indices")
    if given.ndim == 0 or given.shape[:-1] != truth.shape or given.shape[-1] < 2:
        raise ValueError(
            f"{call}: {name} has shape {given.shape} but must be {(*truth.shape, 'V')}: a number for "
            "each of V classes, 2 or more, of each target"
        )
    keep = kept(call, truth, ignore_index, mask)
    p, y = given[keep].astype(np.float64), truth[keep].astype(np.int64)
    if not len(y):
        raise ValueError(f"{call}: no target counts")
    if y.min() < 0 or y.max() >= p.shape[1]:
        wrong = y.min() if y.min() < 0 else y.max()
        raise ValueError(f"{call}: target has {wrong} but {name} has {p.shape[1]} classes")
    if not logits:
        slack = 1e-6 if given.dtype.itemsize == 8 else 1e-3
        if not ((p >= 0) & (p <= 1 + slack)).all() or not (abs(p.sum(1) - 1) <= slack).all():
            raise ValueError(
                f"{call}: probabilities must be 0 to 1 and sum to one in the last axis (of logits: "
                "attendo.functional.softmax)"
            )
    return p, y


def brier_score(
    probabilities: TensorLike,
    target: ArrayLike,
    *,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
) -> float:
    r"""The mean squared distance of the probabilities from what came.

    Parameters
    ----------
    probabilities : array_like or Tensor, shape (..., V)
        Rows that sum to one.
    target : array_like of int, shape (...)
        Class indices.
    ignore_index : int, optional
        Targets that do not count.
    mask : array_like of bool, shape (...), optional
        True where a target counts.

    Returns
    -------
    float
        0 to 2. scikit-learn's ``brier_score_loss`` of two classes is half of it.

    Raises
    ------
    ValueError
        When rows do not sum to one, shapes differ, a target is no class, or none counts.
    TypeError
        When probabilities are not floats or targets not integers.

    Notes
    -----
    .. math:: \frac1n \sum_i \sum_k (p_{ik} - [y_i = k])^2

    References
    ----------
    Brier 1950, "Verification of Forecasts Expressed in Terms of Probability".

    Examples
    --------
    >>> import attendo as at
    >>> round(at.calibration.brier_score([[0.9, 0.1], [0.4, 0.6]], [0, 1]), 6)
    0.17

    Source: python/attendo/calibration/scores.py
    """
    p, y = rows("brier_score", probabilities, target, ignore_index, mask)
    hit = np.arange(p.shape[1]) == y[:, None]
    return float(((p - hit) ** 2).sum(1).mean())


def negative_log_likelihood(
    probabilities: TensorLike,
    target: ArrayLike,
    *,
    ignore_index: int | None = None,
    mask: ArrayLike | None = None,
) -> float:
    r"""The mean surprise of probabilities: :math:`-\frac1n \sum_i \log p_{i y_i}`.

    Of logits: :func:`attendo.functional.cross_entropy`.

    Parameters
    ----------
    probabilities, target, ignore_index, mask
        As of :func:`brier_score`.

    Returns
    -------
    float
        0 or more; infinite where what came had probability 0.

    Raises
    ------
    ValueError, TypeError
        As :func:`brier_score`.

    Examples
    --------
    >>> import attendo as at
    >>> round(at.calibration.negative_log_likelihood([[0.5, 0.5], [0.25, 0.75]], [0, 0]), 4)  # log(8) / 2
    1.0397

    Source: python/attendo/calibration/scores.py
    """
    p, y = rows("negative_log_likelihood", probabilities, target, ignore_index, mask)
    with np.errstate(divide="ignore"):
        surprise: Any = -np.log(np.take_along_axis(p, y[:, None], 1))
    return float(surprise.mean()) + 0.0

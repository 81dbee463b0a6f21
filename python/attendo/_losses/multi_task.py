"""Several tasks at once."""
# mypy: disable-error-code="empty-body"

from collections.abc import Mapping, Sequence
from typing import Literal

from .._core import Loss, MultiTask
from .._pages import page


@page(MultiTask, "attendo.losses")
class _MultiTask:
    r"""The losses of several tasks: the k-th compares the model's k-th output with the k-th target.

    Parameters
    ----------
    losses : dict or list of Loss
        One a task, in the order of outputs and targets; a dict gives them names.
    weights : list of float or "uncertainty", optional
        :math:`\lambda`, one a task, 0 or more; by default 1 each. With "uncertainty" they are learned.

    Raises
    ------
    ValueError
        When there is no loss, or not one weight a loss; at the call, when there are fewer predictions, or not
        as many targets.
    TypeError
        When losses holds anything else; at the call, as the losses.

    Notes
    -----
    .. math::

        \ell = \sum_k \lambda_k \ell_k \qquad\text{or, with uncertainty,}\qquad
        \ell = \sum_k \tfrac12 e^{-s_k} \ell_k + \tfrac12 s_k

    :math:`s_k = \log \sigma_k^2` starts at 0 and is trained with the model, by the same optimizer
    (:attr:`log_variance`); where nothing else pulls it settles at :math:`\log \ell_k`, so that every task
    counts alike whatever its scale. The formula is that of regression; here it holds for every loss. Each
    :math:`\ell_k` is the mean over what counts for its own task.

    References
    ----------
    Kendall, Gal and Cipolla 2018, "Multi-task learning using uncertainty to weigh losses", eq. 7.

    Examples
    --------
    >>> import attendo as at
    >>> loss = at.losses.MultiTask({"kind": at.losses.CrossEntropy(), "size": at.losses.MeanSquaredError()},
    ...                            weights=[1.0, 0.5])
    >>> loss(([[0.0, 0.0]], [[2.0]]), ([1], [[4.0]]))  # log 2 + 0.5 · 4
    Tensor(2.69314718)

    Source: cpp/train/multi_task.cpp
    """

    def __init__(
        self,
        losses: Mapping[str, Loss] | Sequence[Loss],
        weights: Sequence[float] | Literal["uncertainty"] | None = None,
    ) -> None: ...

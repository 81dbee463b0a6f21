"""The page of SGD."""

from typing import Any

from .._core import SGD, Schedule
from .._pages import page


@page(SGD, "attendo.optim")
class _SGD:
    r"""Gradient descent with momentum.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    momentum : float
        :math:`\mu`, 0 or more and below 1.
    dampening : float
        :math:`\tau`, 0 or more and below 1: of the gradient, what does not go into the velocity.
    weight_decay : float
        :math:`\lambda`, 0 or more: adds :math:`\lambda\theta` to the gradient.
    nesterov : bool
        Look ahead along the velocity; needs momentum, without dampening.
    groups : list of dict, optional
        Parameters with options of their own: see :class:`Optimizer`.

    Raises
    ------
    ValueError
        When one is out of range, nesterov comes without momentum, or a group has an unknown key.

    Notes
    -----
    .. math::

        g' = g + \lambda \theta, \quad u \leftarrow \mu u + (1 - \tau) g', \quad
        \theta \leftarrow \theta - lr\, u, \quad \text{Nesterov: } \theta \leftarrow \theta - lr\,(g' + \mu u)

    The first velocity is the first gradient, as PyTorch's. Cost: one pass over the parameters, and a velocity
    for each.

    References
    ----------
    Sutskever et al. 2013. Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.SGD(lr=0.1, momentum=0.9)
    SGD(lr=constant(0.1), momentum=0.9, dampening=0, weight_decay=0, nesterov=False)

    Source: cpp/train/sgd.cpp
    """

    def __init__(
        self,
        lr: float | Schedule,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...

"""The pages of Adagrad and RMSprop."""

from typing import Any

from .._core import Adagrad, RMSprop, Schedule
from .._pages import page


@page(Adagrad, "attendo.optim")
class _Adagrad:
    r"""Adagrad: each entry's rate falls with the gradients it has had.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    lr_decay : float
        :math:`\kappa`, 0 or more: the rate of step t is divided by :math:`1 + (t - 1)\kappa`.
    weight_decay : float
        :math:`\lambda`, 0 or more: adds :math:`\lambda\theta` to the gradient.
    initial_accumulator_value : float
        Where the sum of squares begins, 0 or more.
    eps : float
        :math:`\varepsilon`, 0 or more, against division by zero.
    groups : list of dict, optional
        Parameters with options of their own: see :class:`Optimizer`.

    Raises
    ------
    ValueError
        When one is out of range, or a group has an unknown key.

    Notes
    -----
    .. math::

        g' = g + \lambda \theta, \quad v \leftarrow v + g'^2, \quad
        \theta \leftarrow \theta - \frac{lr}{1 + (t - 1) \kappa} \frac{g'}{\sqrt v + \varepsilon}

    Of a table with a sparse gradient the rows used are stepped: the same numbers as a whole step.
    Cost: one pass over the parameters, and a sum for each.

    References
    ----------
    Duchi et al. 2011.

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.Adagrad(lr=0.1).lr
    0.1

    Source: cpp/train/adagrad.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...


@page(RMSprop, "attendo.optim")
class _RMSprop:
    r"""RMSprop: gradients over the root of their mean square.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    alpha : float
        :math:`\alpha`: decay of the mean square, 0 or more and below 1.
    eps : float
        :math:`\varepsilon`, 0 or more, against division by zero.
    weight_decay : float
        :math:`\lambda`, 0 or more: adds :math:`\lambda\theta` to the gradient.
    momentum : float
        :math:`\mu`, 0 or more and below 1.
    centered : bool
        Take the square of the mean off the mean square: the variance.
    groups : list of dict, optional
        Parameters with options of their own: see :class:`Optimizer`.

    Raises
    ------
    ValueError
        When one is out of range, or a group has an unknown key; on attaching, when a layer has
        ``sparse=True``.

    Notes
    -----
    .. math::

        g' = g + \lambda \theta, \quad v \leftarrow \alpha v + (1 - \alpha) g'^2, \quad
        a \leftarrow \alpha a + (1 - \alpha) g', \quad s = \sqrt{v} + \varepsilon
        \text{, centered: } s = \sqrt{v - a^2} + \varepsilon

    .. math:: u \leftarrow \mu u + g' / s, \quad \theta \leftarrow \theta - lr\, u

    Rounding may bring :math:`v - a^2` below 0; it counts as 0 then. Cost: one pass over the parameters, and
    one to three numbers for each.

    References
    ----------
    Tieleman and Hinton 2012; Graves 2013, eq. 38-41 (centered; ε and the rate stand as in PyTorch).

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.RMSprop(lr=0.001, momentum=0.9, centered=True).lr
    0.001

    Source: cpp/train/rmsprop.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...

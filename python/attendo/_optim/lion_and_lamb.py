"""The pages of Lion and LAMB."""

from typing import Any

from .._core import LAMB, Lion, Schedule
from .._pages import page


@page(Lion, "attendo.optim")
class _Lion:
    r"""Lion: every entry moves by the rate, in the direction of a momentum's sign.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more: a third to a tenth of what AdamW would have.
    betas : (float, float)
        :math:`\beta_1, \beta_2`, 0 or more and below 1: how much momentum is in the step, and its own decay.
    weight_decay : float
        :math:`\lambda`, 0 or more, apart from the gradient; three to ten times AdamW's.
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

        c = \beta_1 m + (1 - \beta_1) g, \quad \theta \leftarrow \theta - lr\,(\mathrm{sign}(c) +
        \lambda\theta), \quad m \leftarrow \beta_2 m + (1 - \beta_2) g

    Cost: one pass over the parameters, and one moment for each.

    References
    ----------
    Chen et al. 2023, algorithm 2.

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.Lion(lr=3e-4, weight_decay=0.1)
    Lion(lr=constant(0.0003), betas=(0.9, 0.99), weight_decay=0.1)

    Source: cpp/train/lion.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...


@page(LAMB, "attendo.optim")
class _LAMB:
    r"""LAMB: Adam's direction, scaled for each parameter to its own norm; for very large batches.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    betas : (float, float)
        :math:`\beta_1, \beta_2`: decay of the two moments, 0 or more and below 1.
    eps : float
        :math:`\varepsilon`, 0 or more, against division by zero.
    weight_decay : float
        :math:`\lambda`, 0 or more.
    groups : list of dict, optional
        Parameters with options of their own: see :class:`Optimizer`.

    Raises
    ------
    ValueError
        When one is out of range, or a group has an unknown key; on attaching, when a layer has
        ``sparse=True``.

    Notes
    -----
    With Adam's moments m and v at step t,

    .. math::

        r = \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon} + \lambda\theta, \quad
        \theta \leftarrow \theta - lr\, \frac{\lVert\theta\rVert}{\lVert r \rVert}\, r

    The norms are those of one parameter; where one of them is 0, the ratio is 1 (biases that begin at 0).
    Cost: two passes over the parameters, and two moments for each.

    References
    ----------
    You et al. 2020, algorithm 2, with :math:`\phi(z) = z`.

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.LAMB(lr=0.002)
    LAMB(lr=constant(0.002), betas=(0.9, 0.999), eps=1e-06, weight_decay=0.01)

    Source: cpp/train/lamb.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...

"""The pages of Adam and AdamW."""

from typing import Any

from .._core import Adam, AdamW, Schedule
from .._pages import page


@page(Adam, "attendo.optim")
class _Adam:
    r"""Adam: steps in units of each gradient's own size.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    betas : (float, float)
        :math:`\beta_1, \beta_2`: decay of the two moments, 0 or more and below 1.
    eps : float
        :math:`\varepsilon`, 0 or more, against division by zero.
    weight_decay : float
        :math:`\lambda`, 0 or more: adds :math:`\lambda\theta` to the gradient. For decay apart from it see
        :class:`AdamW`.
    amsgrad : bool
        Divide by the root of the largest second moment there has been.
    groups : list of dict, optional
        Parameters with options of their own: see :class:`Optimizer`.

    Raises
    ------
    ValueError
        When one is out of range, or a group has an unknown key.
    TypeError
        When betas are not two numbers.

    Notes
    -----
    At step t = 1, 2, ..., with :math:`g' = g + \lambda\theta`,

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g', \quad v \leftarrow \beta_2 v + (1 - \beta_2) g'^2, \quad
        \theta \leftarrow \theta - lr \frac{m / (1 - \beta_1^t)}{\sqrt{x / (1 - \beta_2^t)} + \varepsilon}

    with x = v, or :math:`x \leftarrow \max(x, v)` for AMSGrad.

    Cost: one pass over the parameters, and two moments (AMSGrad: three) for each. Of a table with a sparse
    gradient (``sparse=True``) the rows used are stepped, and their moments change, in that step alone; t
    counts all steps, as in PyTorch's SparseAdam.

    References
    ----------
    Kingma and Ba 2015, algorithm 1; Reddi et al. 2018, algorithm 2. Article 000 §5.2, article 002 §5.2.

    Examples
    --------
    >>> import attendo as at
    >>> optimizer = at.optim.Adam(lr=at.schedules.noam(64, warmup=400), betas=(0.9, 0.98))
    >>> optimizer.lr == at.schedules.noam(64, warmup=400)(1)
    True

    Source: cpp/train/adam.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...


@page(AdamW, "attendo.optim")
class _AdamW:
    r"""Adam with weight decay apart from the gradient.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    betas : (float, float)
        :math:`\beta_1, \beta_2`: decay of the two moments, 0 or more and below 1.
    eps : float
        :math:`\varepsilon`, 0 or more, against division by zero.
    weight_decay : float
        :math:`\lambda`, 0 or more: each step shrinks every parameter by :math:`lr\,\lambda` of itself.
    amsgrad : bool
        Divide by the root of the largest second moment there has been.
    groups : list of dict, optional
        Parameters with options of their own: see :class:`Optimizer`.

    Raises
    ------
    ValueError
        When one is out of range, or a group has an unknown key.
    TypeError
        When betas are not two numbers.

    Notes
    -----
    .. math:: \theta \leftarrow (1 - lr\,\lambda)\,\theta, \text{ then the step of Adam with } g' = g

    References
    ----------
    Loshchilov and Hutter 2019, algorithm 2. Article 002 §9 (regularization).

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.AdamW(lr=0.001)
    AdamW(lr=constant(0.001), betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False)

    Source: cpp/train/adam.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        groups: list[dict[str, Any]] | None = None,
    ) -> None: ...

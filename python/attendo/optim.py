"""Optimizers: they step a model's parameters by their gradients.

A :class:`attendo.train.Trainer` attaches its optimizer to its model. By hand:

>>> import numpy as np
>>> import attendo as at
>>> x = np.linspace(-1, 1, 20, dtype="float32")[:, None]
>>> model, loss = at.nn.Linear(1, 1, seed=0), at.losses.MeanSquaredError()
>>> optimizer = at.optim.SGD(lr=0.3)
>>> optimizer.attach(model)
>>> for _ in range(100):
...     optimizer.zero_grad()
...     loss(model(x), 3 * x + 1).backward()
...     optimizer.step()
>>> model.weight.numpy().round(2), model.bias.numpy().round(2)
(array([[3.]], dtype=float32), array([1.], dtype=float32))
"""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from ._core import SGD, Adam, AdamW, Module, Optimizer, Schedule, Tensor
from ._pages import page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._typing import FloatArray

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


def __dir__() -> list[str]:
    return __all__


@page(Optimizer, "attendo.optim")
class _Optimizer:
    """What the optimizers have in common. One optimizer steps the parameters of one model.

    Attributes
    ----------
    lr : float
        The learning rate of the step to come.
    steps : int
        Steps made.
    state : dict of str to ndarray
        Copies of what it remembers, by name.

    Source: cpp/train/optimizers.cpp
    """

    @property
    def lr(self) -> float:
        """The learning rate of the step to come."""

    @property
    def steps(self) -> int:
        """Steps made."""

    @property
    def state(self) -> "dict[str, FloatArray]":
        """Copies of what it remembers (velocities, moments), by name."""

    def attach(self, target: "Module | Iterable[Tensor]") -> None:
        """Take over the parameters of a Module, or those of a list, that require a gradient.

        They and their gradients move into one block of memory each, so that a step is one loop. The tables of
        layers with ``sparse=True`` stay where they are.

        Raises
        ------
        ValueError
            When no parameter requires a gradient, another optimizer has them, or this one has others; when a
            layer has ``sparse=True`` and the optimizer momentum or weight decay.
        """

    def step(self, clip_norm: float | None = None) -> None:
        r"""One update of every parameter.

        Parameters
        ----------
        clip_norm : float, optional
            The largest norm c of all gradients together:
            :math:`g \leftarrow g \min\bigl(1, c / (\lVert g \rVert + 10^{-6})\bigr)`.

        Raises
        ------
        ValueError
            When nothing is attached, or clip_norm is not above 0.
        """

    def zero_grad(self) -> None:
        """Set all gradients to zero."""

    def grad_norm(self) -> float:
        """The norm of all gradients together."""


@page(SGD, "attendo.optim")
class _SGD:
    r"""Gradient descent with momentum.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, 0 or more.
    momentum : float
        :math:`\mu`, 0 or more and below 1.
    nesterov : bool
        Look ahead along the velocity; needs momentum.
    weight_decay : float
        :math:`\lambda`, 0 or more: adds :math:`\lambda\theta` to the gradient.

    Raises
    ------
    ValueError
        When one is out of range, or nesterov comes without momentum.

    Notes
    -----
    .. math::

        g' = g + \lambda \theta, \quad u \leftarrow \mu u + g', \quad
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
    SGD(lr=constant(0.1), momentum=0.9, nesterov=False, weight_decay=0)

    Source: cpp/train/optimizers.cpp
    """

    def __init__(
        self,
        lr: float | Schedule,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None: ...


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

    Raises
    ------
    ValueError
        When one is out of range.
    TypeError
        When betas are not two numbers.

    Notes
    -----
    At step t = 1, 2, ..., with :math:`g' = g + \lambda\theta`,

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g', \quad v \leftarrow \beta_2 v + (1 - \beta_2) g'^2, \quad
        \theta \leftarrow \theta - lr \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}

    Cost: one pass over the parameters, and two moments for each. Of a table with a sparse gradient
    (``sparse=True``) the rows used are stepped, and their moments change, in that step alone; t counts all
    steps, as in PyTorch's SparseAdam.

    References
    ----------
    Kingma and Ba 2015, algorithm 1. Article 000 §5.2, article 002 §5.2.

    Examples
    --------
    >>> import attendo as at
    >>> optimizer = at.optim.Adam(lr=at.schedules.noam(64, warmup=400), betas=(0.9, 0.98))
    >>> optimizer.lr == at.schedules.noam(64, warmup=400)(1)
    True

    Source: cpp/train/optimizers.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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

    Raises
    ------
    ValueError
        When one is out of range.
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
    AdamW(lr=constant(0.001), betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)

    Source: cpp/train/optimizers.cpp
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None: ...

"""Learning-rate schedules: give one to an optimizer as ``lr``, or call it with a step (1, 2, ...).

>>> import attendo as at
>>> schedule = at.schedules.noam(64, warmup=400)
>>> [round(schedule(t), 6) for t in (1, 400, 1600)]
[1.6e-05, 0.00625, 0.003125]
>>> optimizer = at.optim.Adam(lr=schedule)
"""
# mypy: disable-error-code="empty-body"

from . import _core
from ._core import Schedule
from ._pages import page

__all__ = ["Schedule", "constant", "cosine", "noam", "step"]


def __dir__() -> list[str]:
    return __all__


@page(Schedule, "attendo.schedules")
class _Schedule:
    """A learning rate for each step of an optimizer; made by the functions of this module.

    Source: cpp/train/schedules.cpp
    """

    def __call__(self, step: int) -> float:
        """The rate of a step, which counts from 1; ValueError below that."""


def constant(lr: float) -> Schedule:
    r"""The same rate at every step: :math:`lr_t = lr`.

    Parameters
    ----------
    lr : float
        0 or more.

    Raises
    ------
    ValueError
        When lr is negative or not finite.

    Examples
    --------
    >>> import attendo as at
    >>> at.schedules.constant(0.1)(1000)
    0.1

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_constant(lr)


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    r"""Multiplied by gamma after every ``step_size`` steps.

    Parameters
    ----------
    lr : float
        The first rate, 0 or more.
    step_size : int
        1 or more.
    gamma : float
        0 or more.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    .. math:: lr_t = lr\, \gamma^{\lfloor (t - 1) / \text{step\_size} \rfloor}

    References
    ----------
    Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> schedule = at.schedules.step(1.0, step_size=2, gamma=0.5)
    >>> [schedule(t) for t in range(1, 6)]
    [1.0, 1.0, 0.5, 0.5, 0.25]

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_step(lr, step_size, gamma)


def cosine(lr: float, total_steps: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    r"""A straight line up to the peak, then half a cosine down.

    Parameters
    ----------
    lr : float
        The peak, 0 or more, reached at step ``warmup`` (without one, left at step 1).
    total_steps : int
        The step that reaches ``final``; above warmup. The rate stays there.
    warmup : int
        Steps of the way up, 0 or more.
    final : float
        The last rate, 0 or more.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    .. math::

        lr_t = \begin{cases} lr\; t / w & t \le w \\
        final + \frac12 (lr - final) \bigl(1 + \cos(\pi \frac{t - w}{total - w})\bigr) & t > w \end{cases}

    with w = warmup.

    References
    ----------
    Loshchilov and Hutter 2017, eq. 5. Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> schedule = at.schedules.cosine(1.0, total_steps=6, warmup=2)
    >>> [round(schedule(t), 3) for t in (1, 2, 4, 6)]
    [0.5, 1.0, 0.5, 0.0]

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_cosine(lr, total_steps, warmup, final)


def noam(d_model: int, warmup: int, factor: float = 1.0) -> Schedule:
    r"""A straight line up, then down with the root of the step: how the first Transformer was trained.

    Parameters
    ----------
    d_model : int
        Features of the model, 1 or more.
    warmup : int
        Steps of the way up, 1 or more.
    factor : float
        Multiplies all rates, 0 or more.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    .. math:: lr_t = \text{factor} \cdot d^{-1/2} \min\bigl(t^{-1/2},\; t\, w^{-3/2}\bigr)

    with w = warmup, and its peak :math:`\text{factor} / \sqrt{d\, w}` at step w.

    References
    ----------
    Vaswani et al. 2017, eq. 3. Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> round(at.schedules.noam(512, warmup=4000)(4000), 6)
    0.000699

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_noam(d_model, warmup, factor)

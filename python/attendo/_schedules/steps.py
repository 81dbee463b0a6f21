"""Rates that fall by factors: constant, step, exponential, plateau."""

from .. import _core
from .._core import Schedule


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


def exponential(lr: float, gamma: float) -> Schedule:
    r"""Multiplied by gamma after every step.

    Parameters
    ----------
    lr : float
        The first rate, 0 or more.
    gamma : float
        0 or more; above 1 the rate grows.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    .. math:: lr_t = lr\, \gamma^{t - 1}

    References
    ----------
    Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> schedule = at.schedules.exponential(1.0, gamma=0.5)
    >>> [schedule(t) for t in range(1, 5)]
    [1.0, 0.5, 0.25, 0.125]

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_exponential(lr, gamma)


def plateau(
    lr: float,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    min_lr: float = 0.0,
    cooldown: int = 0,
    *,
    mode: str = "min",
    threshold_mode: str = "rel",
) -> Schedule:
    r"""Lowered when what is observed gets no better.

    Parameters
    ----------
    lr : float
        The first rate, 0 or more.
    factor : float
        Multiplies the rate each time, 0 or more and below 1.
    patience : int
        Observations without progress that are borne, 0 or more: one more lowers the rate.
    threshold : float
        :math:`\tau`, 0 or more: what counts as progress.
    min_lr : float
        The rate goes no lower, 0 or more.
    cooldown : int
        Observations after a change that do not count, 0 or more.
    mode : str
        "min": lower is better, as of a loss; "max": higher, as of an accuracy.
    threshold_mode : str
        "rel": better is below :math:`(1 - \tau)` times the best (above :math:`(1 + \tau)`); "abs": below it
        by :math:`\tau`.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    The optimizer remembers what was observed: ``optimizer.observe(value)``, which a Trainer does after each
    epoch, with its ``monitor``. ``optimizer.lr`` is the rate it has come to; the schedule itself, called
    with a step, gives the first. A change of less than :math:`10^{-8}` is not made. PyTorch's
    ReduceLROnPlateau.

    Examples
    --------
    >>> import attendo as at
    >>> optimizer = at.optim.SGD(at.schedules.plateau(1.0, factor=0.5, patience=1))
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     optimizer.observe(loss)
    >>> optimizer.lr
    0.5

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_plateau(lr, factor, patience, threshold, min_lr, cooldown, mode, threshold_mode)

"""Rates that rise and fall: linear, cosine, with restarts, Noam's, one cycle."""

from .. import _core
from .._core import Schedule


def linear(lr: float, total_steps: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    r"""A straight line up to the peak, then one down.

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
        lr + (final - lr) \frac{t - w}{total - w} & t > w \end{cases}

    with w = warmup.

    References
    ----------
    Devlin et al. 2019, appendix A.2. Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> schedule = at.schedules.linear(1.0, total_steps=6, warmup=2)
    >>> [schedule(t) for t in (1, 2, 4, 6)]
    [0.5, 1.0, 0.5, 0.0]

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_linear(lr, total_steps, warmup, final)


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


def cosine_restarts(lr: float, period: int, mult: int = 1, final: float = 0.0, warmup: int = 0) -> Schedule:
    r"""Half a cosine down, again and again from the peak.

    Parameters
    ----------
    lr : float
        The peak, 0 or more: the rate of the first step of each period.
    period : int
        Steps of the first period, 1 or more.
    mult : int
        Each period is so many times as long as the one before, 1 or more.
    final : float
        What each period comes near, 0 or more.
    warmup : int
        Steps of a straight line up to the peak before the first period, 0 or more.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    In step c = 0, 1, ..., T - 1 of a period of T steps,

    .. math:: lr_t = final + \tfrac12 (lr - final) \bigl(1 + \cos(\pi c / T)\bigr)

    The last step of a period is the place for a snapshot of the model.

    References
    ----------
    Loshchilov and Hutter 2017, eq. 5. Article 004 §9 question 9.

    Examples
    --------
    >>> import attendo as at
    >>> schedule = at.schedules.cosine_restarts(1.0, period=2, mult=2)
    >>> [round(schedule(t), 3) for t in range(1, 8)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_cosine_restarts(lr, period, mult, final, warmup)


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


def one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal: str = "cos",
) -> Schedule:
    r"""Up to a high rate and down to next to nothing: one cycle for the whole training.

    Parameters
    ----------
    max_lr : float
        The peak, 0 or more.
    total_steps : int
        Steps of the cycle, 1 or more. The rate stays where it ends.
    pct_start : float
        The part of the steps on the way up, between 0 and 1.
    div_factor : float
        The first rate is ``max_lr / div_factor``; above 0.
    final_div_factor : float
        The last rate is the first divided by this; above 0.
    anneal : str
        "cos": along half a cosine each way; "linear": straight.

    Raises
    ------
    ValueError
        When one is out of range or not finite.

    Notes
    -----
    The peak is reached at step :math:`p = \text{pct\_start} \cdot \text{total}`. With r from 0 to 1 along
    each way, from rate a to rate b: :math:`b + \tfrac12 (a - b)(1 + \cos \pi r)` or :math:`a + (b - a)\, r`.
    PyTorch's OneCycleLR.

    References
    ----------
    Smith and Topin 2018.

    Examples
    --------
    >>> import attendo as at
    >>> schedule = at.schedules.one_cycle(1.0, total_steps=10, pct_start=0.5, anneal="linear")
    >>> [round(schedule(t), 2) for t in (1, 3, 5, 7, 10)]
    [0.04, 0.52, 1.0, 0.6, 0.0]

    Source: cpp/train/schedules.cpp
    """
    return _core.schedule_one_cycle(max_lr, total_steps, pct_start, div_factor, final_div_factor, anneal)

"""Learning-rate schedules: give one to an optimizer as ``lr``, or call it with a step (1, 2, ...).

>>> import attendo as at
>>> schedule = at.schedules.noam(64, warmup=400)
>>> [round(schedule(t), 6) for t in (1, 400, 1600)]
[1.6e-05, 0.00625, 0.003125]
>>> optimizer = at.optim.Adam(lr=schedule)
"""
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._core import Schedule
from ._pages import page
from ._schedules.config import typed
from ._schedules.steps import constant, exponential, plateau, step
from ._schedules.waves import cosine, cosine_restarts, linear, noam, one_cycle

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "from_config",
    "linear",
    "noam",
    "one_cycle",
    "plateau",
    "step",
]

_TYPES: dict[str, Any] = {
    f.__name__: f
    for f in (constant, cosine, cosine_restarts, exponential, linear, noam, one_cycle, plateau, step)
}


def __dir__() -> list[str]:
    return __all__


@page(Schedule, "attendo.schedules")
class _Schedule:
    """A learning rate for each step of an optimizer; made by the functions of this module.

    Attributes
    ----------
    config : dict
        What makes it again: see :func:`attendo.schedules.from_config`.

    Source: cpp/train/schedules.cpp
    """

    def __call__(self, step: int) -> float:
        """The rate of a step, which counts from 1; ValueError below that."""

    @property
    def config(self) -> dict[str, Any]:
        """What makes it again, JSON-able."""


def from_config(config: Mapping[str, Any]) -> Schedule:
    """The schedule a ``config`` is of.

    Parameters
    ----------
    config : dict
        As ``schedule.config`` gives it: the name of a function of this module as ``"type"``, and what it is
        called with. Also from JSON.

    Returns
    -------
    Schedule
        One with the same rates, to the bit.

    Raises
    ------
    ValueError
        When the type is unknown, or a value out of range.
    TypeError
        When an option is unknown, missing or of a wrong type.

    Examples
    --------
    >>> import attendo as at
    >>> at.schedules.from_config({"type": "exponential", "lr": 0.1, "gamma": 0.9})
    exponential(0.1, gamma=0.9)
    """
    make, options = typed(config, _TYPES)
    schedule: Schedule = make(**options)
    return schedule


for _name in __all__:
    globals()[_name].__module__ = __name__  # where they are documented and found
del _name

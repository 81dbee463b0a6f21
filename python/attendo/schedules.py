"""Learning-rate schedules: call one with a step (1, 2, …) to see its rate, or give it to an optimizer as ``lr``."""

from __future__ import annotations

from . import _core
from ._core import Schedule

__all__ = ["Schedule", "constant", "cosine", "noam", "step"]


def constant(lr: float) -> Schedule:
    """``lr`` at every step."""
    return _core.schedule_constant(lr)


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """``lr * gamma ** ((t - 1) // step_size)``."""
    return _core.schedule_step(lr, step_size, gamma)


def cosine(lr: float, total_steps: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Up to ``lr`` in ``warmup`` steps, then down a half cosine to ``final`` at ``total_steps``."""
    return _core.schedule_cosine(lr, total_steps, warmup, final)


def noam(d_model: int, warmup: int, factor: float = 1.0) -> Schedule:
    """``factor * d_model ** -0.5 * min(t ** -0.5, t * warmup ** -1.5)``."""
    return _core.schedule_noam(d_model, warmup, factor)

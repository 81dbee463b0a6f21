"""Numbers that a caller gave, checked: errors name the call and the argument."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Any


def whole_number(call: str, argument: str, value: Any, least: int) -> None:
    """TypeError unless it is a whole number, ValueError below `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{call}: {argument} is a {type(value).__name__} but must be a whole number")
    if value < least:
        raise ValueError(f"{call}: {argument} is {value} but must be {least} or more")


def real_number(call: str, argument: str, value: Any) -> None:
    """TypeError unless it is a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{call}: {argument} is a {type(value).__name__} but must be a number")


def not_negative(call: str, argument: str, value: Any) -> None:
    """TypeError unless it is a number, ValueError unless that is finite and 0 or more."""
    real_number(call, argument, value)
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{call}: {argument} is {value} but must be 0 or more")


def number_of_metric(call: str, value: Any) -> float:
    """What a metric gave; None would become NaN."""
    if not isinstance(value, Real) and getattr(value, "shape", None) != ():
        kind = type(value).__name__
        raise TypeError(f"{call}: metric gave a {kind} but must give a number for (prediction, target)")
    return float(value)

"""Switching the tape on and off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from . import _core


@contextmanager
def _grad(on: bool) -> Iterator[None]:
    before = _core.set_grad_enabled(on)
    try:
        yield
    finally:
        _core.set_grad_enabled(before)


def no_grad() -> AbstractContextManager[None]:
    """Within ``with at.no_grad():`` operations of this thread leave nothing on the tape.

    >>> import attendo as at
    >>> x = at.tensor([1.0], requires_grad=True)
    >>> with at.no_grad():
    ...     (x * 2).requires_grad
    False
    """
    return _grad(False)


def enable_grad() -> AbstractContextManager[None]:
    """Within ``with at.enable_grad():`` operations are put on the tape again.

    >>> import attendo as at
    >>> x = at.tensor([1.0], requires_grad=True)
    >>> with at.no_grad(), at.enable_grad():
    ...     (x * 2).requires_grad
    True
    """
    return _grad(True)

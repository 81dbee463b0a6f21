"""A model looked at without leaving a trace: in evaluation mode, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._core import Module


@contextmanager
def as_evaluated(model: Module | Any) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module is in the mode it was in.

    What is no Module (a function) is left alone.
    """
    modules = [(one, one.training) for one in model.modules()] if hasattr(model, "modules") else []
    if modules:
        model.eval()
    try:
        yield
    finally:
        # From the root down, each with all below it, as far as they differ; a second time for those that
        # have several parents.
        for _ in range(2):
            for one, training in modules:
                if one.training != training:
                    one.train(training)

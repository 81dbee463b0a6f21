"""Training: the loop, in C++, with callbacks in Python between the batches."""

from .history import History
from .trainer import Trainer

__all__ = ["History", "Trainer"]


def __dir__() -> list[str]:
    return __all__

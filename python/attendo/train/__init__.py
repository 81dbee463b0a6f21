"""Training: the loop, in C++, with callbacks in Python between the batches."""

from .trainer import History, Trainer

__all__ = ["History", "Trainer"]


def __dir__() -> list[str]:
    return __all__

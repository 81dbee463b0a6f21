"""Training: the loop, in C++, with callbacks in Python between the batches."""

from .distributed import Distributed
from .history import History
from .objective import Batch, Objective
from .resume import resume
from .trainer import Trainer

__all__ = ["Batch", "Distributed", "History", "Objective", "Trainer", "resume"]


def __dir__() -> list[str]:
    return __all__

"""Training: the loop, in C++, with callbacks in Python between the batches."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from .history import History
from .objective import Batch, Objective
from .trainer import Trainer

if TYPE_CHECKING:
    from .distributed import Distributed
    from .resuming import resume
else:
    __getattr__ = lazy_names(__name__, {"Distributed": "distributed", "resume": "resuming"})

__all__ = ["Batch", "Distributed", "History", "Objective", "Trainer", "resume"]


def __dir__() -> list[str]:
    return __all__

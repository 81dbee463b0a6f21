"""attendo: attention, from the formula to a trained model.

>>> import numpy as np
>>> import attendo as at
>>> q = k = v = np.eye(3)
>>> at.attention(q, k, v).shape
(3, 3)
"""

from __future__ import annotations

from . import callbacks, functional, losses, masks, models, nn, optim, schedules, train
from ._core import (
    Generator,
    Tensor,
    get_num_threads,
    memory_stats,
    release_cached_memory,
    set_num_threads,
    tensor,
)
from ._grad import enable_grad, no_grad
from ._info import __version__, info
from ._lazy import lazy_modules
from ._state import load, load_state_dict
from .attention import attention

__all__ = [
    "Generator",
    "Tensor",
    "__version__",
    "attention",
    "callbacks",
    "enable_grad",
    "functional",
    "get_num_threads",
    "info",
    "load",
    "load_state_dict",
    "losses",
    "masks",
    "memory_stats",
    "models",
    "nn",
    "no_grad",
    "optim",
    "reference",
    "release_cached_memory",
    "schedules",
    "set_num_threads",
    "tensor",
    "train",
    "viz",
]

# Read on first use: nothing in them is needed to compute.
__getattr__ = lazy_modules(__name__, ("reference", "viz"))

"""Smaller and faster models: what is taken away after training, and what that costs.

=======================  ==================================================================================
:mod:`distill`           a small model learns what a large one says
:mod:`prune`             small weights set to zero; heads of attention taken out
:func:`quantize`         linear layers multiply whole numbers of eight bits
:func:`compare`          size, speed and accuracy before and after
=======================  ==================================================================================

``model.to_int8()`` is the lesser step: it holds matrices in eight bits and multiplies floats.
"""

from . import distill, prune
from .quantize import quantize
from .table import Comparison, compare

__all__ = ["Comparison", "compare", "distill", "prune", "quantize"]


def __dir__() -> list[str]:
    return __all__

"""Fine-tuning of few parameters: all else of a model stays as it is.

====================  ==========================================================================
:func:`lora`          low-rank updates of chosen matrices; :func:`merge` folds them in
:func:`prefix`        trained keys and values before those of every attention layer
:func:`adapters`      a narrow network behind every attention and feed-forward layer
:func:`freeze`        parameters by their names, and :func:`unfreeze`
:func:`trainable`     how many parameters train
:func:`save`          what was trained alone, in a file; :func:`load` puts it on the model again
:func:`remove`        the model as it was
====================  ==========================================================================

>>> import attendo as at
>>> model = at.models.DecoderLM(100, 32, num_heads=4, num_layers=2, dff=64, max_len=16, seed=0)
>>> model = at.peft.lora(model, rank=2, seed=0)
>>> at.peft.trainable(model).trainable
512

Models are changed in place and given back. What is attached is part of the model: it trains with the Trainer,
decodes with a cache, stands in ``state_dict`` and goes with ``model.save``.
"""

from .._core import Adapter, KVPrefix, LoRA
from . import _pages  # noqa: F401  (of the modules)
from ._attach import adapters, lora, matrices, prefix
from ._detach import merge, remove
from ._files import load, save
from ._freezing import Trainable, freeze, trainable, unfreeze

__all__ = [
    "Adapter",
    "KVPrefix",
    "LoRA",
    "Trainable",
    "adapters",
    "freeze",
    "load",
    "lora",
    "matrices",
    "merge",
    "prefix",
    "remove",
    "save",
    "trainable",
    "unfreeze",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where they are documented and found
del _name


def __dir__() -> list[str]:
    return __all__

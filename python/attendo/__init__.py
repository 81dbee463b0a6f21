"""attendo: attention, from the formula to a trained model.

Functions take NumPy arrays and give NumPy arrays; given a :class:`Tensor` they give one, with a gradient.

>>> import numpy as np
>>> import attendo as at
>>> q = k = v = np.eye(3)
>>> out, weights = at.attention(q, k, v, mask=at.masks.causal(), return_weights=True)
>>> weights.round(2)
array([[1.  , 0.  , 0.  ],
       [0.36, 0.64, 0.  ],
       [0.26, 0.26, 0.47]])

:func:`attention`         attention as one function, with :mod:`masks` and :mod:`score_mods`
:class:`KVCache`          keys and values of the positions so far, for decoding
:mod:`functional`         the other operations
:func:`grad`              gradients of chosen tensors, and gradients of gradients
:mod:`nn`                 layers, and :class:`nn.Module` to write your own
:mod:`models`             whole networks: the Transformer
:mod:`train`              the Trainer, with :mod:`losses`, :mod:`optim`, :mod:`schedules` and :mod:`callbacks`
:mod:`data`               sequences of unequal lengths as samples
:mod:`metrics`            accuracy, F1, BLEU, perplexity, time and memory
:mod:`fairness`           the same by group, and weights and samples that narrow the gaps
:mod:`calibration`        whether probabilities mean what they say
:mod:`ensemble`           several models as one, and the mean of their weights
:mod:`compress`           smaller models: pruning, distillation, and what they cost
:mod:`augment`            training data varied at random: text, images, mixtures
:mod:`robust`             adversarial attacks and training, accuracy under noise
:mod:`text`               words and subwords as numbers, padding
:mod:`compress`           smaller models: eight bits
:mod:`peft`               fine-tuning of few parameters: LoRA, prefixes, adapters
:mod:`contrastive`        vectors of which those that belong together are near
:mod:`interop`            checkpoints of other programs
:mod:`viz`                pictures of attention and training
:mod:`reference`          every formula in plain NumPy
:func:`load`              a model that ``model.save`` wrote
:func:`summary`           layers, shapes, parameters, FLOPs and memory of a model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import callbacks, functional, losses, masks, models, nn, optim, schedules, train
from ._functional.attention_stats import AttentionStats, attention_row_weights, attention_stats
from ._functional.kv_cache import KVCache
from ._functional.packed import attention_packed
from ._grad import enable_grad, grad, no_grad
from ._info import (
    __version__,
    get_num_threads,
    info,
    memory_stats,
    release_cached_memory,
    set_num_threads,
)
from ._lazy import lazy_modules, lazy_names
from ._state import load, load_state_dict
from ._tensor import Generator, Tensor, tensor
from .attention import attention

__all__ = [
    "AttentionStats",
    "Generator",
    "KVCache",
    "Tensor",
    "__version__",
    "attention",
    "attention_packed",
    "attention_row_weights",
    "attention_stats",
    "augment",
    "calibration",
    "callbacks",
    "compress",
    "contrastive",
    "count_flops",
    "data",
    "enable_grad",
    "ensemble",
    "fairness",
    "functional",
    "get_num_threads",
    "grad",
    "info",
    "interop",
    "load",
    "load_state_dict",
    "losses",
    "masks",
    "memory_stats",
    "metrics",
    "models",
    "nn",
    "no_grad",
    "optim",
    "peft",
    "reference",
    "release_cached_memory",
    "robust",
    "schedules",
    "score_mods",
    "set_num_threads",
    "summary",
    "tensor",
    "text",
    "train",
    "viz",
]

if TYPE_CHECKING:
    from . import (
        augment,
        calibration,
        compress,
        contrastive,
        data,
        ensemble,
        fairness,
        interop,
        metrics,
        peft,
        reference,
        robust,
        score_mods,
        text,
        viz,
    )
    from ._summary import count_flops, summary
else:  # read on first use: nothing in them is needed to compute
    _LAZY = (
        "augment",
        "calibration",
        "compress",
        "contrastive",
        "data",
        "ensemble",
        "fairness",
        "interop",
        "metrics",
        "peft",
        "reference",
        "robust",
        "score_mods",
        "text",
        "viz",
    )
    _module = lazy_modules(__name__, _LAZY)
    _name = lazy_names(__name__, {"count_flops": "_summary", "summary": "_summary"})

    def __getattr__(name):
        return _module(name) if name in _LAZY else _name(name)


def __dir__() -> list[str]:
    return __all__

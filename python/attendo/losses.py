"""Losses: one number for a batch. They never shift labels and never broadcast.

>>> import attendo as at
>>> loss = at.losses.CrossEntropy(label_smoothing=0.1)
>>> loss.config
{'type': 'CrossEntropy', 'ignore_index': None, 'label_smoothing': 0.1, 'weight': None}
>>> at.losses.from_config(loss.config)
CrossEntropy(ignore_index=None, label_smoothing=0.1)
"""

from collections.abc import Mapping
from typing import Any

from ._core import (
    BinaryCrossEntropy,
    CrossEntropy,
    Distillation,
    Huber,
    InfoNCE,
    KLDivergence,
    Loss,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    MultiTask,
    NTXent,
    Triplet,
)
from ._losses import multi_task, of_logits, of_numbers, of_pairs  # noqa: F401  (the pages)
from ._losses.base import as_loss as as_loss
from ._losses.base import from_function
from ._schedules.config import typed

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Distillation",
    "Huber",
    "InfoNCE",
    "KLDivergence",
    "Loss",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MultiTask",
    "NTXent",
    "Triplet",
    "from_config",
    "from_function",
]

_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        BinaryCrossEntropy,
        CrossEntropy,
        Distillation,
        Huber,
        InfoNCE,
        KLDivergence,
        Mean,
        MeanAbsoluteError,
        MeanSquaredError,
        NTXent,
        Triplet,
    )
}


def __dir__() -> list[str]:
    return __all__


def from_config(config: Mapping[str, Any]) -> Loss:
    """The loss that gave this ``config``.

    Parameters
    ----------
    config : dict
        What the ``config`` of a built-in loss is: its ``type`` and its options. JSON can hold it.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        When the type is not one of them.
    TypeError
        When config is no dict, or an option is not one of its.

    Notes
    -----
    What a :class:`MultiTask` has learned (``log_variance``) is not in it: that is a parameter.
    """
    make, options = typed(config, {**_TYPES, "MultiTask": MultiTask})
    if make is MultiTask:
        losses = options.pop("losses", ())
        if not isinstance(losses, (Mapping, list, tuple)):
            kind = type(losses).__name__
            raise TypeError(f"from_config: losses is a {kind} but must be a list, or a dict, of configs")
        tasks: Any = (
            {name: from_config(loss) for name, loss in losses.items()}
            if isinstance(losses, Mapping)
            else [from_config(loss) for loss in losses]
        )
        return MultiTask(tasks, **options)
    loss = make(**options)
    assert isinstance(loss, Loss)
    return loss

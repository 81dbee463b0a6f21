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
        When an option is not one of its.

    Notes
    -----
    What a :class:`MultiTask` has learned (``log_variance``) is not in it: that is a parameter.
    """
    options = dict(config)
    kind = options.pop("type", None)
    if kind == "MultiTask":
        losses = options.pop("losses", None)
        tasks: Any = (
            {name: from_config(loss) for name, loss in losses.items()}
            if isinstance(losses, Mapping)
            else [from_config(loss) for loss in losses or ()]
        )
        return MultiTask(tasks, **options)
    if kind not in _TYPES:
        raise ValueError(
            f"from_config: type is {kind!r} but must be one of {', '.join([*_TYPES, 'MultiTask'])}"
        )
    loss = _TYPES[kind](**options)
    assert isinstance(loss, Loss)
    return loss

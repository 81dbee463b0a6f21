"""Optimizers: they step a model's parameters by their gradients.

A :class:`attendo.train.Trainer` attaches its optimizer to its model. By hand:

>>> import numpy as np
>>> import attendo as at
>>> x = np.linspace(-1, 1, 20, dtype="float32")[:, None]
>>> model, loss = at.nn.Linear(1, 1, seed=0), at.losses.MeanSquaredError()
>>> optimizer = at.optim.SGD(lr=0.3)
>>> optimizer.attach(model)
>>> for _ in range(100):
...     optimizer.zero_grad()
...     loss(model(x), 3 * x + 1).backward()
...     optimizer.step()
>>> model.weight.numpy().round(2), model.bias.numpy().round(2)
(array([[3.]], dtype=float32), array([1.], dtype=float32))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import schedules
from ._core import LAMB, SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop, WeightAverage
from ._optim import adam as _adam  # noqa: F401  (its pages)
from ._optim import adaptive as _adaptive  # noqa: F401  (its pages)
from ._optim import base as _base  # noqa: F401  (its page)
from ._optim import lion_and_lamb as _lion_and_lamb  # noqa: F401  (its pages)
from ._optim import sgd as _sgd  # noqa: F401  (its page)
from ._optim import weight_average as _weight_average  # noqa: F401  (its page)
from ._schedules.config import typed

__all__ = [
    "LAMB",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "RMSprop",
    "WeightAverage",
    "from_config",
]

_TYPES: dict[str, Any] = {c.__name__: c for c in (LAMB, SGD, Adagrad, Adam, AdamW, Lion, RMSprop)}


def __dir__() -> list[str]:
    return __all__


def from_config(config: Mapping[str, Any]) -> Optimizer:
    """The optimizer a ``config`` is of.

    Parameters
    ----------
    config : dict
        As ``optimizer.config`` gives it: ``{"type": "AdamW", "lr": ..., "weight_decay": ...}``. Options that
        are missing have their defaults; ``lr`` is a number or the config of a schedule. Also from JSON.

    Returns
    -------
    Optimizer
        A new one, attached to nothing: without steps and moments (see :meth:`Optimizer.load_state`).

    Raises
    ------
    ValueError
        When the type is unknown, or a value out of range.
    TypeError
        When an option is unknown, or of a wrong type.

    Examples
    --------
    >>> import attendo as at
    >>> at.optim.from_config({"type": "Lion", "lr": 1e-3, "weight_decay": 0.1})
    Lion(lr=constant(0.001), betas=(0.9, 0.99), weight_decay=0.1)
    """
    make, options = typed(config, _TYPES)

    def with_schedule(entry: Any) -> Any:
        if isinstance(entry, Mapping) and isinstance(entry.get("lr"), Mapping):
            return {**entry, "lr": schedules.from_config(entry["lr"])}
        return entry

    options = with_schedule(options)
    groups = options.get("groups")
    if groups is not None:
        if not isinstance(groups, (list, tuple)):
            raise TypeError(f"from_config: groups is a {type(groups).__name__} but must be a list of dicts")
        options["groups"] = [with_schedule(group) for group in groups]
    optimizer: Optimizer = make(**options)
    return optimizer

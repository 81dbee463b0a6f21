"""What the arguments of a Trainer must be, where the core does not see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import _core
from .columns import is_array
from .objective import Objective

if TYPE_CHECKING:
    from .._core import Loss


def check_metrics(metrics: Any) -> None:
    if metrics is None:
        return
    if not isinstance(metrics, Mapping) or not all(
        isinstance(name, str) and callable(metric) for name, metric in metrics.items()
    ):
        raise TypeError("Trainer: metrics must be a dict of names and functions of (prediction, target)")
    for taken in ("loss", "accuracy"):
        if taken in metrics:
            raise ValueError(f"Trainer: metrics has {taken!r}, the name of what evaluate gives anyway")


def check_objective(objective: Any) -> None:
    if objective is not None and not isinstance(objective, Objective):
        kind = type(objective).__name__
        raise TypeError(f"Trainer: objective is a {kind} but must be an attendo.train.Objective")


def check_distributed(distributed: Any) -> None:
    if distributed is None:
        return
    from .distributed import Distributed

    if not isinstance(distributed, Distributed):
        kind = type(distributed).__name__
        raise TypeError(f"Trainer: distributed is a {kind} but must be an attendo.train.Distributed")


def as_loss(loss: Any) -> Loss:
    if not isinstance(loss, _core.Loss) and callable(loss) and not isinstance(loss, type):
        from ..losses import from_function

        return from_function(loss)
    made: Loss = loss
    return made


def check_validation(validation: Any) -> None:
    if validation is None:
        return
    try:
        _, _, *rest = validation
    except (TypeError, ValueError):
        rest = [None, None]
    if len(rest) > 1:
        raise ValueError("fit: validation must be (inputs, target) or (inputs, target, sample_weight)")


def check_batches(inputs: Any, only_arrays: dict[str, Any]) -> None:
    """Of a fit without a target: an iterable of batches, and nothing that goes with arrays."""
    if isinstance(inputs, tuple) or is_array(inputs):
        raise TypeError("fit: target is None; only an iterable of batches goes without")
    if not isinstance(inputs, Iterable):
        kind = type(inputs).__name__
        raise TypeError(
            f"fit: inputs is a {kind} but must be arrays with a target, or an iterable of batches"
        )
    for name, value in only_arrays.items():
        if value is not None:
            raise ValueError(f"fit: {name} goes with arrays; an iterable of batches decides that itself")


def check_plateau(optimizer: Any, monitor: Any) -> None:
    """A schedule that waits for a maximum must be told of what."""
    if monitor is not None and not isinstance(monitor, str):
        kind = type(monitor).__name__
        raise TypeError(f"Trainer: monitor is a {kind} but must be a name such as 'val_accuracy'")
    if monitor is None and optimizer.schedule.config.get("mode") == "max":
        raise ValueError(
            "fit: the plateau schedule waits for a maximum; say of what: Trainer(monitor='val_accuracy')"
        )


def observed(info: Any, monitor: str | None) -> float:
    """What a plateau schedule is told at the end of an epoch."""
    if monitor is None:
        return float(info.get("val_loss", info["epoch_loss"]))
    if monitor not in info:
        known = ", ".join(sorted(name for name in info if name.startswith(("val_", "epoch_loss"))))
        raise ValueError(f"Trainer: monitor is {monitor!r} but an epoch gives {known}")
    return float(info[monitor])


_EVENTS = ("on_train_begin", "on_batch_end", "on_step", "on_epoch_end", "on_train_end")


def check_callbacks(callbacks: Any) -> list[Any]:
    """Objects with one of the methods of a callback; gives them as a list."""
    if isinstance(callbacks, (str, bytes)) or not isinstance(callbacks, Iterable):
        kind = type(callbacks).__name__
        raise TypeError(f"fit: callbacks is a {kind} but must be a list of callbacks")
    listeners = list(callbacks)
    for i, listener in enumerate(listeners):
        if isinstance(listener, type):
            raise TypeError(
                f"fit: callbacks[{i}] is the class {listener.__name__} but must be an object of it"
            )
        if not any(callable(getattr(listener, event, None)) for event in _EVENTS):
            kind = type(listener).__name__
            raise TypeError(f"fit: callbacks[{i}] is a {kind} but must have a method such as on_epoch_end")
    return listeners

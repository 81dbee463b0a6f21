"""One run of fit: what it was asked for and how far it is, so that it can be interrupted and gone on with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import fingerprints

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_DEFAULTS: dict[str, Any] = {"epochs": 1, "batch_size": 32, "shuffle": True, "batch_tokens": None}


@dataclass
class Run:
    """What fit was asked for, and what it has seen."""

    epochs: int
    batch_size: int
    shuffle: bool
    batch_tokens: int | None
    data: dict[str, Any]  # fingerprints
    listeners: list[Any] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    validation_seconds: float = 0.0
    #: Of a run that was interrupted: what its callbacks knew, (type, state) each.
    saved: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    interrupted: bool = False

    @classmethod
    def begin(
        cls,
        earlier: Run | None,
        given: dict[str, Any],
        data: dict[str, Any],
        callbacks: list[Any],
        folder: Path | None,
    ) -> Run:
        """A new run; or the earlier one, when that was interrupted and is asked for again.

        Raises
        ------
        ValueError
            When the interrupted run was asked for something else.
        """
        # What must see all that the others did, checkpoints, comes last.
        listeners = sorted(callbacks, key=lambda listener: bool(getattr(listener, "runs_last", False)))
        for key, value in given.items():
            check_setting(key, value)
        if earlier is None or not earlier.interrupted:
            settings = {key: _DEFAULTS[key] if value is None else value for key, value in given.items()}
            return cls(**settings, data=data, listeners=listeners)
        for key, value in given.items():
            before = getattr(earlier, key)
            if value is None or value == before or (key == "epochs" and value > before):
                continue
            raise ValueError(
                f"fit: {key} is {value} but the interrupted run had {before}; give the same, or nothing"
            )
        for key in sorted({*data, *earlier.data}):
            if data.get(key) == earlier.data.get(key):
                continue
            if key not in data or key not in earlier.data:
                was, now = ("without", "with") if key in data else ("with", "without")
                raise ValueError(f"fit: the interrupted run was {was} {key}= but this call is {now} it")
            raise ValueError(
                f"fit: {key} is not what the interrupted run had: {data[key]} against {earlier.data[key]} "
                "(kind, shape, checksum)"
            )
        if not any(type(listener).__name__ == "Checkpoint" for listener in listeners):
            listeners += earlier._checkpoints(folder)
        again = replace(earlier, listeners=listeners, interrupted=False)
        again.validations = list(earlier.validations)
        again.epochs = earlier.epochs if given["epochs"] is None else given["epochs"]
        again._restore_callbacks()
        return again

    def _checkpoints(self, folder: Path | None) -> list[Any]:
        """Those it wrote before, when it is not given others."""
        from ..callbacks import Checkpoint

        if folder is None:
            return []
        return [
            Checkpoint(folder, **state["settings"]) for kind, state in self.saved if kind == "Checkpoint"
        ][:1]

    def _restore_callbacks(self) -> None:
        waiting = list(self.saved)
        for listener in self.listeners:
            name = type(listener).__name__
            for i, (kind, state) in enumerate(waiting):
                if kind == name:
                    if hasattr(listener, "load_state_dict"):
                        try:
                            listener.load_state_dict(state)
                        except (LookupError, OverflowError, TypeError, AttributeError) as error:
                            raise ValueError(
                                f"fit: the checkpoint's state of {kind} does not fit: {error!r}"
                            ) from error
                    del waiting[i]
                    break
        for kind, state in waiting:
            if state.get("changes_training"):
                raise ValueError(f"fit: the interrupted run had a {kind} in callbacks; give it again")

    def validation_arrays(self) -> dict[str, NDArray[np.float64]]:
        """``val_loss`` and the like, an epoch each."""
        names = list(dict.fromkeys(name for measured in self.validations for name in measured))
        return {
            f"val_{name}": np.array([measured.get(name, np.nan) for measured in self.validations])
            for name in names
        }

    def state_dict(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        callbacks = []
        for listener in self.listeners:
            state = listener.state_dict() if hasattr(listener, "state_dict") else {}
            if state:
                callbacks.append((type(listener).__name__, state))
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "batch_tokens": self.batch_tokens,
            "data": self.data,
            "validations": self.validations,
            "validation_seconds": self.validation_seconds,
            "callbacks": callbacks,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Run:
        """A run that was interrupted.

        Raises
        ------
        ValueError, TypeError, KeyError
            When it is not what :meth:`state_dict` gives.
        """
        for key in ("epochs", "batch_size", "shuffle", "batch_tokens"):
            check_setting(key, state[key])
        validations = [{str(k): float(v) for k, v in measured.items()} for measured in state["validations"]]
        return cls(
            epochs=state["epochs"],
            batch_size=state["batch_size"],
            shuffle=state["shuffle"],
            batch_tokens=state["batch_tokens"],
            data=dict(state["data"]),
            validations=validations,
            validation_seconds=float(state["validation_seconds"]),
            saved=[(str(kind), dict(inner)) for kind, inner in state["callbacks"]],
            interrupted=True,
        )


def fingerprints_of(data: dict[str, Any]) -> dict[str, Any]:
    """Of each argument of fit that holds samples; of functions and such, that there is one."""
    out: dict[str, Any] = {}
    for key, value in data.items():
        if value is not None:
            out[key] = value if isinstance(value, str) else fingerprints(value)
    return out


def check_setting(name: str, value: Any) -> None:
    """What fit was asked for, before a callback writes it down; None: as before, or as usual."""
    kind = type(value).__name__
    if value is None:
        return
    if name == "shuffle":
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"fit: shuffle is a {kind} but must be True or False")
        return
    try:
        count = index(value)
    except TypeError:
        raise TypeError(f"fit: {name} is a {kind} but must be a whole number") from None
    if count < 1:
        raise ValueError(f"fit: {name} is {count} but must be 1 or more")

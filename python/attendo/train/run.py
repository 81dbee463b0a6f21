"""One run of fit: what it was asked for and how far it is, so that it can be interrupted and gone on with."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        if earlier is None or not earlier.interrupted:
            settings = {key: _DEFAULTS[key] if value is None else value for key, value in given.items()}
            for key in ("epochs", "batch_size"):  # before a callback writes them down
                _check_count(key, settings[key])
            return cls(**settings, data=fingerprints_of(data), listeners=listeners)
        for key, value in given.items():
            before = getattr(earlier, key)
            if value is None or value == before or (key == "epochs" and value > before):
                continue
            raise ValueError(
                f"fit: {key} is {value} but the interrupted run had {before}; give the same, or nothing"
            )
        if given["epochs"] is not None:
            earlier.epochs = given["epochs"]
        for key, value in fingerprints_of(data).items():
            if value != earlier.data.get(key):
                raise ValueError(
                    f"fit: {key} is not what the run that was interrupted had: {value} against "
                    f"{earlier.data.get(key)} (kind, shape, checksum)"
                )
        if not any(type(listener).__name__ == "Checkpoint" for listener in listeners):
            listeners += earlier._checkpoints(folder)
        earlier.listeners = listeners
        earlier.interrupted = False
        earlier._restore_callbacks()
        return earlier

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
                        listener.load_state_dict(state)
                    del waiting[i]
                    break
        for kind, state in waiting:
            if state.get("changes_training"):
                raise ValueError(f"fit: the interrupted run had a {kind} in callbacks; give it again")
        self.saved = []

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
        """A run that was interrupted."""
        return cls(
            epochs=int(state["epochs"]),
            batch_size=int(state["batch_size"]),
            shuffle=bool(state["shuffle"]),
            batch_tokens=state["batch_tokens"],
            data=dict(state["data"]),
            validations=[dict(measured) for measured in state["validations"]],
            validation_seconds=float(state["validation_seconds"]),
            saved=[(str(kind), dict(inner)) for kind, inner in state["callbacks"]],
            interrupted=True,
        )


def fingerprints_of(data: dict[str, Any]) -> dict[str, Any]:
    """Of each argument of fit that holds samples."""
    return {key: fingerprints(value) for key, value in data.items() if value is not None}


def _check_count(name: str, value: Any) -> None:
    try:
        count = index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"fit: {name} is a {kind} but must be a whole number") from None
    if count < 1:
        raise ValueError(f"fit: {name} is {count} but must be 1 or more")

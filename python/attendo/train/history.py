"""What `fit` gives back."""

from __future__ import annotations

from typing import Any


class History(dict[str, Any]):
    """What happened in training, by name.

    ``step_loss`` and ``lr``
        Loss and learning rate of each step: arrays of shape (steps,).
    ``loss``
        Mean loss of each epoch over what counted while it was trained: (epochs,).
    ``val_loss``, and ``val_accuracy`` where the loss defines it
        Of each epoch's validation, when there was one: (epochs,).
    ``seconds``
        How long it took.
    """

    def __repr__(self) -> str:
        epochs, steps = len(self["loss"]), len(self["step_loss"])
        if not epochs:
            return "History(no epoch finished)"
        last = f"loss {self['loss'][-1]:.4g}"
        if "val_loss" in self:
            last += f", val_loss {self['val_loss'][-1]:.4g}"
        return f"History({epochs} epochs, {steps} steps, {self['seconds']:.1f} s, {last})"

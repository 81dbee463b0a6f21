"""The Trainer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..callbacks import ProgressBar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Loss, Module, Optimizer
    from ..callbacks import Info


class History(dict[str, Any]):
    """What happened in training, by name: ``step_loss`` and ``lr`` (a number each step), ``loss`` and, with validation,
    ``val_loss`` and ``val_accuracy`` (a number each epoch), ``seconds``.
    """

    def __repr__(self) -> str:
        if not len(self["loss"]):
            return "History(no epoch finished)"
        last = f"loss {self['loss'][-1]:.4g}"
        if "val_loss" in self:
            last += f", val_loss {self['val_loss'][-1]:.4g}"
        return f"History({len(self['loss'])} epochs, {len(self['step_loss'])} steps, {self['seconds']:.1f} s, {last})"


class Trainer:
    """Trains a model: batches, forward, loss, backward, clipping, optimizer step, in C++.

    Parameters
    ----------
    model : Module
        One of attendo's, or your own subclass.
    loss : Loss
        See :mod:`attendo.losses`.
    optimizer : Optimizer
        See :mod:`attendo.optim`. It takes over the model's parameters that require a gradient.
    seed : int
        Decides the order of the samples and what dropout drops: the same seed gives the same bits on any number of
        threads.
    clip_norm : float, optional
        The largest norm of all gradients together.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, loss=at.losses.MeanSquaredError(), optimizer=at.optim.SGD(lr=0.1))
    >>> history = trainer.fit(x, 3 * x + 1, epochs=50, batch_size=16, progress=False)
    >>> bool(history["loss"][-1] < 1e-3)
    True
    """

    def __init__(
        self, model: Module, loss: Loss, optimizer: Optimizer, *, seed: int = 0, clip_norm: float | None = None
    ) -> None:
        self._core = _core.Trainer(model, loss, optimizer, seed, clip_norm)

    @property
    def model(self) -> Module:
        """The model."""
        return self._core.model

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self._core.loss

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self._core.optimizer

    def fit(
        self,
        inputs: Any,
        target: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: tuple[Any, Any] | None = None,
        callbacks: Iterable[Any] = (),
        progress: bool = True,
    ) -> History:
        """Train.

        Parameters
        ----------
        inputs : array_like or tuple of array_like, shape (samples, ...)
            What the model's ``forward`` takes; a tuple for several inputs.
        target : array_like, shape (samples, ...)
            What the loss compares with.
        epochs : int
            Passes over the samples.
        batch_size : int
            Samples a step; the last batch of an epoch may be smaller.
        shuffle : bool
            A new order each epoch, decided by the seed.
        validation : (inputs, target), optional
            Evaluated after each epoch.
        callbacks : iterable
            Objects with any of the methods of :class:`attendo.callbacks.Callback`.
        progress : bool
            Show a bar with loss, speed and remaining time where there is a terminal or a notebook.

        Returns
        -------
        History
            Losses and learning rates.

        Raises
        ------
        ValueError, TypeError
            When the samples do not fit each other, the model or the loss.
        KeyboardInterrupt
            On Ctrl-C, between two batches; the model keeps what it has learnt.
        """
        listeners = [*callbacks]
        if progress:
            listeners.append(ProgressBar())
        validations: list[dict[str, float]] = []

        def tell(event: str, *args: Any) -> None:
            for listener in listeners:
                method = getattr(listener, event, None)
                if method is not None:
                    method(self, *args)

        def on_epoch_end(info: Info, _: dict[str, Any]) -> None:
            if validation is not None:
                validations.append(self.evaluate(*validation, batch_size=batch_size))
            tell("on_epoch_end", info)

        tell("on_train_begin")
        try:
            raw = self._core.fit(
                inputs,
                target,
                epochs,
                batch_size,
                shuffle,
                (lambda info: tell("on_step", info)) if listeners else None,
                on_epoch_end if listeners or validation is not None else None,
            )
        finally:
            tell("on_train_end")
        history = History(raw)
        for name in validations[0] if validations else ():
            history[f"val_{name}"] = np.array([v[name] for v in validations])
        return history

    def evaluate(self, inputs: Any, target: Any, *, batch_size: int = 256) -> dict[str, float]:
        """Loss, and accuracy where the loss defines it, in evaluation mode.

        Returns
        -------
        dict
            ``loss`` and, for cross-entropy, ``accuracy``: means over the predictions that count.
        """
        return self._core.evaluate(inputs, target, batch_size)

    def predict(self, inputs: Any, *, batch_size: int = 256) -> NDArray[Any]:
        """The model's (first) output for each sample, in evaluation mode.

        Returns
        -------
        ndarray, shape (samples, ...)
        """
        return self._core.predict(inputs, batch_size)

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.loss!r}, {self.optimizer!r})"

"""The Trainer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import _core
from ..callbacks import ProgressBar
from .history import History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Loss, Module, Optimizer
    from .._typing import TensorLike
    from ..callbacks import Info

    Inputs: TypeAlias = TensorLike | tuple[TensorLike, ...]


class Trainer:
    r"""Trains a model: batches, forward, loss, backward, clipping, optimizer step, in C++.

    Parameters
    ----------
    model : Module
        One of attendo's, or your own subclass.
    loss : Loss
        See :mod:`attendo.losses`.
    optimizer : Optimizer
        See :mod:`attendo.optim`. It takes over the model's parameters that require a gradient.
    seed : int
        Decides the order of the samples and what dropout drops: the same seed gives the same bits on any
        number of threads.
    clip_norm : float, optional
        The largest norm c of all gradients together, above 0: longer ones are scaled by
        :math:`c / (\lVert g \rVert + 10^{-6})`.

    Raises
    ------
    ValueError
        When seed is negative, clip_norm is not above 0, the model has nothing to train, or its parameters
        belong to another optimizer.
    TypeError
        When model, loss or optimizer is not one of attendo's.

    Notes
    -----
    A step is zero_grad, forward, loss, backward, clip, optimizer step. A model of the package's own layers
    runs without the interpreter; a ``forward`` written in Python is called where it stands.

    References
    ----------
    Articles 000 §5.2 and 002 §5.2.

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
    >>> trainer.predict(np.array([[2.0]], dtype="float32")).round(1)
    array([[7.]], dtype=float32)

    Source: cpp/train/trainer.cpp
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        *,
        seed: int = 0,
        clip_norm: float | None = None,
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
        inputs: Inputs,
        target: TensorLike,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: tuple[Inputs, TensorLike] | None = None,
        callbacks: Iterable[Any] = (),
        progress: bool = True,
    ) -> History:
        """Train. May be called again to go on: the optimizer's steps count on.

        Parameters
        ----------
        inputs : array_like or tuple of array_like, shape (samples, ...)
            What the model's ``forward`` takes; a tuple for several inputs.
        target : array_like, shape (samples, ...)
            What the loss compares with.
        epochs : int
            Passes over the samples, 1 or more.
        batch_size : int
            Samples a step, 1 or more; the last batch of an epoch may be smaller.
        shuffle : bool
            A new order each epoch, decided by the seed.
        validation : (inputs, target), optional
            Evaluated after each epoch, in evaluation mode.
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
        ValueError
            When there are no samples, inputs and target have not as many, epochs or batch_size is below 1, or
            a shape does not fit the model or the loss.
        TypeError
            When a dtype does not fit the model or the loss.
        KeyboardInterrupt
            On Ctrl-C, between two batches; the model keeps what it has learnt.
        """
        if validation is not None:
            try:
                _, _ = validation
            except (TypeError, ValueError):
                raise ValueError("fit: validation must be (inputs, target)") from None
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

        try:
            tell("on_train_begin")
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

    def evaluate(self, inputs: Inputs, target: TensorLike, *, batch_size: int = 256) -> dict[str, float]:
        """Loss, and accuracy where the loss defines it, in evaluation mode.

        Parameters
        ----------
        inputs : array_like or tuple of array_like, shape (samples, ...)
            What the model's ``forward`` takes; a tuple for several inputs.
        target : array_like, shape (samples, ...)
            What the loss compares with.
        batch_size : int
            Samples at a time; changes nothing but memory and speed.

        Returns
        -------
        dict
            ``loss`` and, for cross-entropy, ``accuracy``: means over the predictions that count.

        Raises
        ------
        ValueError, TypeError
            As :meth:`fit`.
        """
        return self._core.evaluate(inputs, target, batch_size)

    def predict(self, inputs: Inputs, *, batch_size: int = 256) -> NDArray[Any]:
        """The model's (first) output for each sample, in evaluation mode.

        Parameters
        ----------
        inputs : array_like or tuple of array_like, shape (samples, ...)
            What the model's ``forward`` takes; a tuple for several inputs.
        batch_size : int
            Samples at a time; changes nothing but memory and speed.

        Returns
        -------
        ndarray, shape (samples, ...)

        Raises
        ------
        ValueError, TypeError
            As :meth:`fit`, and when the output has not a row a sample.
        """
        return self._core.predict(inputs, batch_size)

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.loss!r}, {self.optimizer!r})"

"""What ``fit`` gives back: numbers by name, as a table, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .history_table import HistoryTable

_OF_STEPS = frozenset({"step_loss", "lr"})


class History(dict[str, Any]):
    """What happened in training, by name.

    ``step_loss`` and ``lr``
        Loss and learning rate of each step: arrays of shape (steps,).
    ``loss``
        Mean loss of each epoch over what counted while it was trained: (epochs,). Of a loss of several means
        (MultiTask) the mean of its steps, each by how much it counted; ``evaluate`` is exact.
    ``val_loss``, and ``val_accuracy`` where the loss defines it
        Of each epoch's validation, when there was one: (epochs,); so for every metric of the Trainer.
    ``seconds``
        How long it took.
    ``time``
        Where the time went: seconds by the part of a step, ``data``, ``forward``, ``loss``, ``backward``,
        ``optimizer``, ``validation``, ``callbacks``.

    A run that was interrupted and resumed has the history of one that was not.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    >>> model = at.nn.Linear(1, 1, seed=0)
    >>> trainer = at.train.Trainer(model, loss=at.losses.MeanSquaredError(), optimizer=at.optim.SGD(lr=0.5))
    >>> history = trainer.fit(x, x, epochs=3, validation=(x, x), progress=False)
    >>> history.table().columns
    ('epoch', 'loss', 'val_loss')
    >>> history.plot()
    Picture('training')
    """

    def __repr__(self) -> str:
        epochs, steps = len(self["loss"]), len(self["step_loss"])
        if not epochs:
            return "History(no epoch finished)"
        last = f"loss {self['loss'][-1]:.4g}"
        if "val_loss" in self:
            last += f", val_loss {self['val_loss'][-1]:.4g}"
        return f"History({epochs} epochs, {steps} steps, {self['seconds']:.1f} s, {last})"

    def of_epochs(self) -> dict[str, NDArray[np.float64]]:
        """The arrays that hold a number an epoch, ``loss`` first."""
        epochs = len(self["loss"])
        return {
            name: np.asarray(values, dtype=np.float64)
            for name, values in self.items()
            if name not in _OF_STEPS and np.ndim(values) == 1 and len(values) == epochs
        }

    def table(self) -> HistoryTable:
        """A row an epoch, and below them where the time went.

        Returns
        -------
        HistoryTable
            Prints as text, shows itself in a notebook, of more than 60 epochs the first and the last;
            ``to_csv(path)`` and ``to_pandas()`` have all.
        """
        from .history_table import HistoryTable

        columns = self.of_epochs()
        numbers = np.arange(1, len(self["loss"]) + 1)
        rows = tuple(
            (int(number), *(float(values[i]) for values in columns.values()))
            for i, number in enumerate(numbers)
        )
        return HistoryTable(("epoch", *columns), rows, dict(self.get("time", {})))

    def plot(self, *, ax: Any = None) -> Any:
        """Draw losses, learning rate, validation and time: :func:`attendo.viz.training_curves`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Draw the losses there instead.

        Returns
        -------
        Picture, or `ax`
        """
        from ..viz import training_curves

        return training_curves(self, ax=ax)

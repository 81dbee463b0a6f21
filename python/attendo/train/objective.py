"""What a step minimizes, where it is more than the loss of the model's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    import numpy as np

    from .. import _core
    from .._core import Tensor
    from .trainer import Trainer


class Batch:
    """What one forward pass gets.

    Attributes
    ----------
    inputs, targets : tuple of Tensor
        The samples of the batch, axis 0.
    sample_weight : Tensor or None
        (samples,).
    totals : list of float
        How much all batches of this optimizer step count in each mean of the loss.
    epoch, step, repeat : int
        From 0: the epoch of this fit, the optimizer's steps so far, the how many-th step on this batch.
    rng : numpy.random.Generator
        Random numbers of this batch alone, a function of the Trainer's seed and the step: a run that was
        interrupted draws the same ones again.
    """

    def __init__(self, core: _core.Batch) -> None:
        self._core = core
        self.inputs: tuple[Tensor, ...] = core.inputs
        self.targets: tuple[Tensor, ...] = core.targets
        self.sample_weight: Tensor | None = core.sample_weight
        self.totals: list[float] = core.totals
        self.epoch: int = core.epoch
        self.step: int = core.step
        self.repeat: int = core.repeat
        self._rng: np.random.Generator | None = None

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of this batch."""
        if self._rng is None:
            from numpy.random import default_rng

            self._rng = default_rng([self._core.seed, self.repeat, 1])
        return self._rng

    def __repr__(self) -> str:
        shapes = ", ".join(str(x.shape) for x in self.inputs)
        return f"Batch(inputs {shapes}, epoch {self.epoch}, step {self.step})"


class Objective:
    """What each step minimizes: subclass it for adversarial training, distillation, two views of a sample.

    Examples
    --------
    The loss on noisy inputs beside that on clean ones:

    >>> import numpy as np
    >>> import attendo as at
    >>> class Noisy(at.train.Objective):
    ...     def loss(self, trainer, batch):
    ...         (x,) = batch.inputs
    ...         noise = batch.rng.normal(0, 0.1, x.shape).astype("float32")
    ...         return (trainer.batch_loss(batch) + trainer.batch_loss(batch, inputs=x + noise)) * 0.5
    >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    >>> trainer = at.train.Trainer(at.nn.Linear(1, 1, seed=0), at.losses.MeanSquaredError(),
    ...                            at.optim.SGD(lr=0.1), objective=Noisy())
    >>> history = trainer.fit(x, 3 * x + 1, epochs=30, batch_size=16, progress=False)
    >>> bool(history["loss"][-1] < 0.1 < history["loss"][0])
    True
    """

    #: Optimizer steps made on each batch.
    repeats: int = 1

    def loss(self, trainer: Trainer, batch: Batch) -> Tensor:
        """The loss of the batch: a Tensor of shape () on the tape. Called in training mode.

        With ``accumulate``, parts of several batches are added up: ``trainer.batch_loss`` gives such a part.
        """
        return trainer.batch_loss(batch)

    def after_backward(self, trainer: Trainer, batch: Batch) -> None:
        """Called when the gradients of the batch are there, before clipping and the step.

        It may run more forward and backward passes, whose gradients add up.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of it: numbers, text, lists, dicts, arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""

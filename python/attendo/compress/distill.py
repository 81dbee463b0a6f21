"""Knowledge distillation: a small model learns what a large one says, not only what is right.

    loss = (1 - α) loss(x, c) + α T² KL(softmax(y / T) ‖ softmax(x / T))

x: logits of the student;  y: of the teacher, without a gradient;  c: the targets.   Hinton et al. 2015, §2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import losses
from .._core import Module
from .._evaluation import as_evaluated
from .._grad import no_grad
from ..train import Objective

if TYPE_CHECKING:
    from .._core import Tensor
    from ..train import Batch, Trainer

__all__ = ["Distillation"]


def __dir__() -> list[str]:
    return __all__


class Distillation(Objective):
    r"""Trains a student on a teacher's softened answers beside the targets.

    Parameters
    ----------
    teacher : Module
        Given the same inputs, it gives logits of the same classes; run in evaluation mode, and left as it is.
    temperature : float
        :math:`T`, above 0: both softmaxes are of logits divided by it.
    alpha : float
        0 to 1: the share of the teacher.

    Raises
    ------
    ValueError
        When temperature or alpha is out of range; in training, when the Trainer's loss is not cross-entropy
        without weights of classes, or the teacher's logits are of another shape.
    TypeError
        When teacher is no Module; in training, when the logits differ in dtype.

    Notes
    -----
    .. math::

        \ell = (1 - \alpha)\, \mathrm{CE}(x, c) + \alpha\, T^2\, \mathrm{KL}\bigl(\mathrm{softmax}(y / T)
        \,\Vert\, \mathrm{softmax}(x / T)\bigr)

    The first term is the Trainer's own loss, with its smoothing; targets that it ignores count in neither. A
    teacher's answers that are there already are targets of :class:`attendo.losses.Distillation`, which needs
    no teacher at hand.

    References
    ----------
    Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", §2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> teacher, student = at.nn.Linear(2, 2, seed=0), at.nn.Linear(2, 2, seed=1)
    >>> trainer = at.train.Trainer(student, at.losses.CrossEntropy(), at.optim.Adam(lr=0.1),
    ...                            objective=at.compress.distill.Distillation(teacher, alpha=1.0))
    >>> history = trainer.fit(x, y, epochs=30, progress=False)
    >>> float((student(x).numpy().argmax(1) == teacher(x).numpy().argmax(1)).mean()) > 0.95
    True

    Source: python/attendo/compress/distill.py
    """

    def __init__(self, teacher: Module, *, temperature: float = 2.0, alpha: float = 0.5) -> None:
        given: Any = teacher
        if not isinstance(given, Module):
            raise TypeError(f"Distillation: teacher is a {type(given).__name__} but must be a Module")
        losses.Distillation(temperature, alpha)  # which checks both
        self.teacher, self.temperature, self.alpha = teacher, temperature, alpha

    def loss(self, trainer: Trainer, batch: Batch) -> Tensor:
        """Both terms of a batch."""
        hard = trainer.loss
        config = getattr(hard, "config", {})
        if not isinstance(hard, losses.CrossEntropy) or config.get("weight") is not None:
            raise ValueError(
                "Distillation: the Trainer's loss must be CrossEntropy without weights of classes, "
                f"not {hard!r}"
            )
        with as_evaluated(self.teacher), no_grad():
            taught = _first(self.teacher(*batch.inputs))
        student = _first(trainer.model(*batch.inputs))
        own = trainer.batch_loss(batch, outputs=student)
        target: Any = batch.targets[0]
        if target.dtype != np.int64:  # probabilities: every row counts
            target = np.zeros(student.shape[:-1], dtype=np.int64)
        soft = losses.Distillation(self.temperature, 1.0, ignore_index=config.get("ignore_index"))
        totals = batch.totals
        theirs = soft.part(student, (target, taught), totals, batch.sample_weight)
        return (1 - self.alpha) * own + self.alpha * theirs

    def __repr__(self) -> str:
        kind = type(self.teacher).__name__
        return f"Distillation({kind}, temperature={self.temperature:g}, alpha={self.alpha:g})"


def _first(outputs: Any) -> Tensor:
    first: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return first

"""Training on the worst input nearby.

    adversarial   min_θ E max_{‖δ‖ ≤ ε} loss(f_θ(x + δ), y)       the inner maximum by an attack, at each step
    free          each batch m times: one backward pass gives ∂θ for the step and ∂x for
                  δ ← clip(δ + α sign(∂x), -ε, ε), which the next step begins with

Madry et al. 2018, eq. 2.1; Shafahi et al. 2019, algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arguments import not_negative, real_number, whole_number
from .._evaluation import as_evaluated
from ..train import Objective
from ._attack import Attack
from .attacks import FGSM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Tensor
    from ..train import Batch, Trainer


class AdversarialTraining(Objective):
    r"""Trains on inputs that an attack has made as bad as it could.

    Parameters
    ----------
    attack : FGSM or PGD
        Run on each batch in evaluation mode, against the parameters as they are.
    clean : float
        Share of the loss that is of the inputs as they are, 0 to 1.

    Raises
    ------
    TypeError
        When attack is no attack.
    ValueError
        When clean is not 0 to 1.

    Notes
    -----
    .. math::

        \min_\theta\ \mathbb E\Bigl[ c\, \ell(f_\theta(x), y)
        + (1 - c) \max_{\lVert\delta\rVert \le \varepsilon} \ell(f_\theta(x + \delta), y) \Bigr]

    A step costs as much as the attack's steps and one more. A random start is drawn from the batch's own
    Generator: a run that was interrupted goes on with the same bits.

    References
    ----------
    Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks", eq. 2.1. With clean
    inputs beside: Goodfellow et al. 2015, §6.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> worst_case = at.robust.AdversarialTraining(at.robust.PGD(0.2, steps=3))
    >>> trainer = at.train.Trainer(at.nn.Linear(2, 2, seed=0), at.losses.CrossEntropy(),
    ...                            at.optim.Adam(lr=0.1), objective=worst_case)
    >>> history = trainer.fit(x, y, epochs=3, progress=False)
    >>> bool(history["loss"][-1] < history["loss"][0])
    True

    Source: python/attendo/robust/training.py
    """

    def __init__(self, attack: Attack, *, clean: float = 0.0) -> None:
        given: Any = attack
        if not isinstance(given, Attack):
            kind = type(given).__name__
            raise TypeError(f"AdversarialTraining: attack is a {kind} but must be attendo.robust.FGSM or PGD")
        real_number("AdversarialTraining", "clean", clean)
        if not 0 <= clean <= 1:
            raise ValueError(f"AdversarialTraining: clean is {clean} but must be 0 to 1")
        self.attack, self.clean = attack, clean

    def loss(self, trainer: Trainer, batch: Batch) -> Tensor:
        """The loss of the perturbed batch, with the clean one's share."""
        place = self.attack.input
        x = self.attack.checked(batch.inputs)

        def inputs(point: Any) -> tuple[Any, ...]:
            return (*batch.inputs[:place], point, *batch.inputs[place + 1 :])

        with as_evaluated(trainer.model):
            start = self.attack.start(x, batch.rng)
            worst = self.attack.climb(lambda point: trainer.batch_loss(batch, inputs=inputs(point)), x, start)
        loss = trainer.batch_loss(batch, inputs=inputs(worst))
        if self.clean == 0:
            return loss
        return self.clean * trainer.batch_loss(batch) + (1 - self.clean) * loss

    def __repr__(self) -> str:
        return f"AdversarialTraining({self.attack!r}, clean={self.clean:g})"


class FreeAdversarialTraining(Objective):
    r"""Adversarial training for the price of training: one backward pass for weights and input.

    Parameters
    ----------
    eps : float
        :math:`\varepsilon`, how far each number of the input may move, 0 or more.
    repeats : int
        Steps m on each batch, 1 or more. For the cost of plain training, train for 1/m of the epochs.
    step_size : float, optional
        :math:`\alpha`; eps where it is not given.
    clip : (low, high), optional
        Bounds of what an input may be.
    input : int
        Which of the inputs is perturbed; it must be of floats.

    Raises
    ------
    ValueError
        When eps or step_size is negative, repeats below 1, or clip is no (low, high).
    TypeError
        In training, when the input is neither float32 nor float64.

    Notes
    -----
    .. math::

        g = \nabla_{\theta, x}\, \ell(f_\theta(x + \delta), y), \qquad
        \theta \leftarrow \theta - lr\, g_\theta, \qquad
        \delta \leftarrow \operatorname{clip}(\delta + \alpha \operatorname{sign} g_x,\ -\varepsilon,
        \varepsilon)

    :math:`\delta` is kept from batch to batch, as in the paper, and begins anew at zero where the samples'
    shape changes. It is part of a checkpoint.

    References
    ----------
    Shafahi et al. 2019, "Adversarial training for free!", algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> free = at.robust.FreeAdversarialTraining(0.2, repeats=4)
    >>> trainer = at.train.Trainer(at.nn.Linear(2, 2, seed=0), at.losses.CrossEntropy(),
    ...                            at.optim.Adam(lr=0.1), objective=free)
    >>> history = trainer.fit(x, y, epochs=2, progress=False)
    >>> len(history["step_loss"])
    16

    Source: python/attendo/robust/training.py
    """

    def __init__(
        self,
        eps: float,
        *,
        repeats: int = 4,
        step_size: float | None = None,
        clip: tuple[float, float] | None = None,
        input: int = 0,
    ) -> None:
        whole_number("FreeAdversarialTraining", "repeats", repeats, 1)
        size = eps if step_size is None else step_size
        not_negative("FreeAdversarialTraining", "eps", eps)
        not_negative("FreeAdversarialTraining", "step_size", size)
        self._ball = FGSM(eps, clip=clip, input=input)
        self.eps, self.step_size, self.repeats = eps, size, repeats
        self._delta: NDArray[Any] | None = None
        self._point: Tensor | None = None

    def loss(self, trainer: Trainer, batch: Batch) -> Tensor:
        """The loss at the perturbed inputs, on the tape with them."""
        place = self._ball.input
        x = self._ball.checked(batch.inputs)
        kept = self._delta
        if kept is None or kept.shape[1:] != x.shape[1:] or kept.dtype != x.dtype:
            kept = np.zeros_like(x)
        if len(kept) < len(x):
            kept = np.concatenate([kept, np.zeros_like(x[len(kept) :])])
        self._delta = kept
        self._point = _core.tensor(self._ball.bounded(x, kept[: len(x)]), None, True)
        return trainer.batch_loss(
            batch, inputs=(*batch.inputs[:place], self._point, *batch.inputs[place + 1 :])
        )

    def after_backward(self, trainer: Trainer, batch: Batch) -> None:
        """A step of the perturbation."""
        point, delta = self._point, self._delta
        self._point = None
        if point is None or delta is None or point.grad is None:
            raise ValueError("FreeAdversarialTraining: the loss does not depend on the input")
        count = len(point)
        eps = delta.dtype.type(self.eps)
        moved = delta[:count] + delta.dtype.type(self.step_size) * np.sign(point.grad.numpy())
        self._delta = np.concatenate([np.clip(moved, -eps, eps), delta[count:]])

    def state_dict(self) -> dict[str, Any]:
        """The perturbation that the next batch begins with."""
        return {} if self._delta is None else {"delta": self._delta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a perturbation."""
        self._delta = np.array(state["delta"]) if "delta" in state else None

    def __repr__(self) -> str:
        return f"FreeAdversarialTraining({self.eps:g}, repeats={self.repeats})"

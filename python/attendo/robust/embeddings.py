"""Adversarial training of models whose inputs are ids: the tables of embeddings are perturbed.

    FGM   r = ε g / ‖g‖₂                                       g = ∂ loss / ∂E, all tables E as one vector
    PGD   r ← project(r + α g / ‖g‖₂),  ‖r‖₂ ≤ ε               `steps` times, g at E + r

and the gradients of loss(θ, E) + λ loss(θ, E + r) are added up.   Miyato et al. 2017, eq. 5 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import not_negative, whole_number
from .._core import Embedding
from .._grad import grad
from ..train import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module, Tensor
    from ..train import Batch, Trainer


class EmbeddingPGD(Objective):
    r"""Trains on embeddings perturbed in several steps, beside the clean ones.

    Parameters
    ----------
    eps : float
        :math:`\varepsilon`, the norm of the perturbation of all tables together, 0 or more.
    steps : int
        Steps of the perturbation, 1 or more, of a forward and a backward pass each.
    step_size : float, optional
        :math:`\alpha`; 1.5 eps / steps where it is not given.
    tables : sequence of str, optional
        Names of the parameters that are perturbed, as in ``state_dict()``; the weights of all
        :class:`attendo.nn.Embedding` that are trained where it is not given.
    weight : float
        :math:`\lambda`, how much the perturbed loss counts beside the clean one, 0 or more.

    Raises
    ------
    ValueError
        When a number is out of range; in training, when there is no such table, or it is frozen.

    Notes
    -----
    .. math::

        r_{t+1} = \Pi_{\lVert r \rVert_2 \le \varepsilon}
        \bigl(r_t + \alpha\, g_t / \lVert g_t \rVert_2\bigr), \qquad g_t = \nabla_E\, \ell(\theta, E + r_t)

    The perturbation is of the table, so that all occurrences of a word in a batch move alike; where the table
    is the last layer, too, that moves with it. Afterwards the table is, to the bit, what it was. Each pass
    draws its own dropout.

    References
    ----------
    Madry et al. 2018, §2.1, on the embeddings of Miyato et al. 2017, §3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> ids = np.random.default_rng(0).integers(0, 10, (64, 6))
    >>> model = at.models.EncoderClassifier(10, 8, 2, 1, 6, 2, pooling="mean", seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01),
    ...                            objective=at.robust.EmbeddingPGD(0.5, steps=3))
    >>> history = trainer.fit(ids, (ids == 7).any(axis=1).astype(int), epochs=2, progress=False)
    >>> len(history["step_loss"])
    4

    Source: python/attendo/robust/embeddings.py
    """

    def __init__(
        self,
        eps: float,
        *,
        steps: int = 3,
        step_size: float | None = None,
        tables: Sequence[str] | None = None,
        weight: float = 1.0,
    ) -> None:
        name = type(self).__name__
        not_negative(name, "eps", eps)
        whole_number(name, "steps", steps, 1)
        if isinstance(tables, str):
            raise TypeError(f"{name}: tables is one text but must be several names")
        self.eps, self.steps, self.weight = eps, steps, weight
        self.step_size = 1.5 * eps / steps if step_size is None else step_size
        not_negative(name, "step_size", self.step_size)
        not_negative(name, "weight", weight)
        self.tables = None if tables is None else tuple(tables)
        self._before: list[NDArray[Any] | None] = []

    def loss(self, trainer: Trainer, batch: Batch) -> Tensor:
        """The clean loss; what gradients there are from earlier parts of the step is remembered."""
        self._before = [
            None if table.grad is None else table.grad.numpy().copy() for table in self._found(trainer.model)
        ]
        return trainer.batch_loss(batch)

    def after_backward(self, trainer: Trainer, batch: Batch) -> None:
        """Perturb the tables, add the gradients there, put the tables back."""
        tables = self._found(trainer.model)
        gradient = [
            np.zeros(table.shape, table.dtype)
            if table.grad is None
            else table.grad.numpy() - (0 if before is None else before)
            for table, before in zip(tables, self._before, strict=True)
        ]
        self._before = []
        values = [table.numpy().copy() for table in tables]
        moved = [np.zeros_like(value) for value in values]
        try:
            for step in range(self.steps):
                moved = self._projected(moved, gradient)
                for table, value, r in zip(tables, values, moved, strict=True):
                    table.assign(value + r)
                loss = trainer.batch_loss(batch)
                if step + 1 < self.steps:
                    found = grad(loss, tables, allow_unused=True)
                    gradient = [
                        np.zeros_like(value) if one is None else one.numpy()
                        for one, value in zip(found, values, strict=True)
                    ]
                else:
                    (loss if self.weight == 1 else loss * self.weight).backward()
        finally:
            for table, value in zip(tables, values, strict=True):
                table.assign(value)

    def _projected(self, moved: list[NDArray[Any]], gradient: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """A step along the gradient, no further from zero than eps."""
        length = _norm(gradient)
        if length > 0:
            moved = [
                r + g * g.dtype.type(self.step_size / length) for r, g in zip(moved, gradient, strict=True)
            ]
        length = _norm(moved)
        if length > self.eps:
            moved = [r * r.dtype.type(self.eps / length) for r in moved]
        return moved

    def _found(self, model: Module) -> list[Tensor]:
        name = type(self).__name__
        named = dict(model.named_parameters())
        if self.tables is None:
            weights = [one.weight for one in model.modules() if isinstance(one, Embedding)]
            found = [weight for weight in weights if weight.requires_grad]
            if not found:
                frozen = " that is trained" if weights else ""
                raise ValueError(f"{name}: the model has no attendo.nn.Embedding{frozen}; name tables=")
            return found
        for one in self.tables:
            if one not in named:
                raise ValueError(f"{name}: tables holds {one!r}, which is no parameter of the model")
            if not named[one].requires_grad:
                raise ValueError(f"{name}: tables holds {one!r}, which is frozen and has no gradient")
        return [named[one] for one in self.tables]

    def __repr__(self) -> str:
        return f"EmbeddingPGD({self.eps:g}, steps={self.steps})"


class FGM(EmbeddingPGD):
    r"""Trains on embeddings perturbed along their gradient, beside the clean ones: the fast gradient method.

    Parameters
    ----------
    eps : float
        :math:`\varepsilon`, the norm of the perturbation of all tables together, 0 or more.
    tables, weight
        As of :class:`EmbeddingPGD`.

    Raises
    ------
    ValueError
        As :class:`EmbeddingPGD`.

    Notes
    -----
    .. math::

        r = \varepsilon\, g / \lVert g \rVert_2, \quad g = \nabla_E\, \ell(\theta, E), \qquad
        \text{the step minimizes}\ \ell(\theta, E) + \lambda\, \ell(\theta, E + r)

    A step costs twice a plain one. In the paper every sample's embeddings move for themselves, and are
    normalized; here the table moves, see :class:`EmbeddingPGD`.

    References
    ----------
    Miyato, Dai and Goodfellow 2017, "Adversarial training methods for semi-supervised text classification",
    eq. 5 and 6.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> ids = np.random.default_rng(0).integers(0, 10, (64, 6))
    >>> model = at.models.EncoderClassifier(10, 8, 2, 1, 6, 2, pooling="mean", seed=0)
    >>> trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01),
    ...                            objective=at.robust.FGM(0.5))
    >>> history = trainer.fit(ids, (ids == 7).any(axis=1).astype(int), epochs=2, progress=False)
    >>> len(history["step_loss"])
    4

    Source: python/attendo/robust/embeddings.py
    """

    def __init__(self, eps: float, *, tables: Sequence[str] | None = None, weight: float = 1.0) -> None:
        super().__init__(eps, steps=1, step_size=eps, tables=tables, weight=weight)

    def __repr__(self) -> str:
        return f"FGM({self.eps:g})"


def _norm(arrays: list[NDArray[Any]]) -> float:
    """The norm of all arrays as one vector, without overflow."""
    largest = max((float(np.abs(one).max(initial=0)) for one in arrays), default=0.0)
    if not 0 < largest < float("inf"):
        return 0.0
    return largest * sqrt(sum(float(np.square(one / one.dtype.type(largest)).sum()) for one in arrays))

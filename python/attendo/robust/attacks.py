"""Adversarial examples: the smallest change of an input that changes the answer.

    FGSM    x' = x + ε sign(g),                             g = ∂ loss(model(x), y) / ∂x
    PGD     x ← clip(x₀ + project(x + α step(g) - x₀)),     `steps` times, from x₀ or a random place around it

x: (samples, ...), float32 or float64.   Goodfellow et al. 2015, §4; Madry et al. 2018, §2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import not_negative, whole_number
from .._evaluation import generator
from ._attack import Attack, Height, Norm, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module, Tensor
    from .._typing import TensorLike


@dataclass(frozen=True)
class FGSM(Attack):
    r"""The fast gradient sign method: one step as far as allowed.

    Parameters
    ----------
    eps : float
        :math:`\varepsilon`, how far each number (``"linf"``) or each sample (``"l2"``) may move, 0 or more.
    norm : {"linf", "l2"}
        How that is measured.
    targeted : bool
        Move towards the target given, a wrong one, not away from the right one.
    clip : (low, high), optional
        Bounds of what an input may be: (0, 1) for images. The inputs must lie within them.
    input : int
        Which of the model's inputs is perturbed; it must be of floats.

    Raises
    ------
    ValueError
        When eps is negative or not finite, norm is none of its words, clip is no (low, high); at the call,
        when there is no such input, it lies outside of clip, or a gradient is not finite.
    TypeError
        When a number is none; at the call, when the input is neither float32 nor float64.

    Notes
    -----
    .. math:: x' = x + \varepsilon \operatorname{sign} \nabla_x \ell(f(x), y)

    Called as ``attack(model, loss, inputs, target)``, in evaluation mode. The model's parameters, their
    gradients, its mode and its generator stay as they are.

    References
    ----------
    Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples", §4.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(2, 2, seed=0)
    >>> x = np.array([[0.5, 0.5]], dtype="float32")
    >>> attack = at.robust.FGSM(0.1)
    >>> worse = attack(model, at.losses.CrossEntropy(), x, [0])
    >>> np.abs(worse - x).round(3)
    array([[0.1, 0.1]], dtype=float32)

    Source: python/attendo/robust/attacks.py
    """

    def climb(self, height: Height, x: NDArray[Any], start: NDArray[Any]) -> NDArray[Any]:
        """One step of size eps."""
        return self.climbed(height, start, x, self.eps) if x.size else x.copy()


@dataclass(frozen=True)
class PGD(Attack):
    r"""Projected gradient descent (here: ascent), the strongest attack of first order.

    Parameters
    ----------
    eps : float
        :math:`\varepsilon`, how far each number (``"linf"``) or each sample (``"l2"``) may move, 0 or more.
    steps : int
        Gradients taken, 1 or more.
    step_size : float, optional
        :math:`\alpha`; 2.5 eps / steps where it is not given.
    random_start : bool
        Start at a random place within eps, every place with the same chance; needs a Generator at the call.
    norm, targeted, clip, input
        As of :class:`FGSM`.

    Raises
    ------
    ValueError
        As :class:`FGSM`, and when steps is below 1 or step_size negative; at the call, when the start is
        random and there is no Generator.
    TypeError
        As :class:`FGSM`.

    Notes
    -----
    .. math::

        x_{t+1} = \Pi_{\lVert x - x_0 \rVert \le \varepsilon}
        \bigl(x_t + \alpha \operatorname{sign} \nabla_x \ell(f(x_t), y)\bigr)

    with :math:`\nabla_x / \lVert \nabla_x \rVert_2` in place of the sign for ``"l2"``. It costs `steps`
    forward and backward passes, without the gradients of the parameters.

    References
    ----------
    Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks", §2.1; the step size:
    §B. Kurakin et al. 2017.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(2, 2, seed=0)
    >>> x = np.array([[0.5, 0.5]], dtype="float32")
    >>> attack = at.robust.PGD(0.1, steps=5, norm="l2")
    >>> worse = attack(model, at.losses.CrossEntropy(), x, [0], np.random.default_rng(0))
    >>> bool(np.linalg.norm(worse - x) < 0.1001)
    True

    Source: python/attendo/robust/attacks.py
    """

    steps: int = 10
    _: KW_ONLY
    step_size: float | None = None
    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("PGD", "steps", self.steps, 1)
        if self.step_size is not None:
            not_negative("PGD", "step_size", self.step_size)

    def at(self, eps: float) -> PGD:
        """The same attack of another strength; its step grows with it."""
        if self.step_size is None or self.eps == 0:
            return replace(self, eps=eps)
        return replace(self, eps=eps, step_size=self.step_size * eps / self.eps)

    @property
    def random(self) -> bool:
        """Whether a Generator decides anything."""
        return self.random_start

    def start(self, x: NDArray[Any], rng: np.random.Generator | None) -> NDArray[Any]:
        """Where it begins: x itself, or a random place around it."""
        if not self.random_start:
            return x
        if rng is None:
            raise ValueError("PGD: rng is missing: random_start needs a numpy.random.Generator")
        return self.bounded(x, self._anywhere(x, rng)) if x.size else x

    def climb(self, height: Height, x: NDArray[Any], start: NDArray[Any]) -> NDArray[Any]:
        """`steps` steps and projections."""
        out = start.copy()
        size = 2.5 * self.eps / self.steps if self.step_size is None else self.step_size
        for _ in range(self.steps if x.size else 0):
            out = self.climbed(height, out, x, size)
        return out

    def _anywhere(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """A place within eps of zero, (samples, ...)."""
        if self.norm == "linf":
            return rng.uniform(-self.eps, self.eps, x.shape).astype(x.dtype)
        direction = unit(rng.standard_normal(x.shape))
        features = x[0].size
        radius = self.eps * rng.random((len(x), *(1,) * (x.ndim - 1))) ** (1 / features)
        out: NDArray[Any] = (radius * direction).astype(x.dtype)
        return out


def fgsm(
    model: Module,
    loss: Callable[..., Tensor],
    inputs: TensorLike | tuple[TensorLike, ...],
    target: TensorLike | tuple[TensorLike, ...],
    eps: float,
    *,
    norm: Norm = "linf",
    targeted: bool = False,
    clip: tuple[float, float] | None = None,
    input: int = 0,
    batch_size: int | None = None,
) -> Any:
    """Inputs perturbed by one step along the sign of their gradient.

    Parameters
    ----------
    model : Module
        Run in evaluation mode; it stays as it is.
    loss : callable
        ``loss(prediction, target)`` gives a Tensor of shape (): one of :mod:`attendo.losses`, or your own.
    inputs : array_like or tuple of array_like, shape (samples, ...)
        What the model takes.
    target : array_like or tuple of array_like, shape (samples, ...)
        The right answer; with ``targeted``, the wrong one to move to.
    eps, norm, targeted, clip, input
        As of :class:`FGSM`.
    batch_size : int, optional
        Samples at a time, all where it is not given; changes nothing but memory, speed and rounding.

    Returns
    -------
    ndarray or tuple of ndarray, shape and dtype of inputs

    Raises
    ------
    ValueError, TypeError
        As :class:`FGSM`.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(3, 2, seed=1)
    >>> x, y = np.ones((2, 3), dtype="float32"), np.array([0, 1])
    >>> loss = at.losses.CrossEntropy()
    >>> worse = at.robust.fgsm(model, loss, x, y, eps=0.5)
    >>> bool(loss(model(worse), y).item() > loss(model(x), y).item())
    True

    Source: python/attendo/robust/attacks.py
    """
    return FGSM(eps, norm=norm, targeted=targeted, clip=clip, input=input)(
        model, loss, inputs, target, batch_size=batch_size
    )


def pgd(
    model: Module,
    loss: Callable[..., Tensor],
    inputs: TensorLike | tuple[TensorLike, ...],
    target: TensorLike | tuple[TensorLike, ...],
    eps: float,
    *,
    steps: int = 10,
    step_size: float | None = None,
    norm: Norm = "linf",
    random_start: bool = True,
    targeted: bool = False,
    clip: tuple[float, float] | None = None,
    input: int = 0,
    batch_size: int | None = None,
    seed: int | np.random.Generator | None = 0,
) -> Any:
    """Inputs perturbed by many steps along their gradient, each projected back to within eps.

    Parameters
    ----------
    model, loss, inputs, target
        As of :func:`fgsm`.
    eps, steps, step_size, norm, random_start, targeted, clip, input
        As of :class:`PGD`.
    batch_size : int, optional
        As of :func:`fgsm`.
    seed : int, numpy.random.Generator or None
        Decides the random start; None is another one each time.

    Returns
    -------
    ndarray or tuple of ndarray, shape and dtype of inputs

    Raises
    ------
    ValueError, TypeError
        As :class:`PGD`.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(3, 2, seed=1)
    >>> x, y = np.ones((2, 3), dtype="float32"), np.array([0, 1])
    >>> worse = at.robust.pgd(model, at.losses.CrossEntropy(), x, y, eps=0.5, steps=4, clip=(0.0, 1.0))
    >>> bool(worse.max() <= 1.0 and worse.min() >= 0.5)
    True

    Source: python/attendo/robust/attacks.py
    """
    attack = PGD(
        eps,
        steps,
        step_size=step_size,
        norm=norm,
        random_start=random_start,
        targeted=targeted,
        clip=clip,
        input=input,
    )
    return attack(model, loss, inputs, target, generator(seed, "pgd"), batch_size=batch_size)

"""What attacks have in common: options, the input under attack, one step and the way back into the ball.

    l∞:  step(g) = sign(g),      project(δ) = clip(δ, -ε, ε)
    l2:  step(g) = g / ‖g‖₂,     project(δ) = δ min(1, ε / ‖δ‖₂)      for each sample

x, g, δ: (samples, ...), float32 or float64.   Madry et al. 2018, §2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from .. import _core
from .._arguments import not_negative, real_number, whole_number
from .._evaluation import as_evaluated, parts, sliced
from .._grad import enable_grad, grad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module, Tensor
    from .._typing import TensorLike

Norm: TypeAlias = Literal["linf", "l2"]
#: What is made larger: a function of the input under attack.
Height: TypeAlias = "Callable[[Tensor], Tensor]"
_Attack = TypeVar("_Attack", bound="Attack")


@dataclass(frozen=True)
class Attack:
    """What FGSM and PGD have in common: see there."""

    eps: float
    _: KW_ONLY
    norm: Norm = "linf"
    targeted: bool = False
    clip: tuple[float, float] | None = None
    input: int = 0

    def __post_init__(self) -> None:
        not_negative(self._name, "eps", self.eps)
        norm: Any = self.norm
        if norm not in ("linf", "l2"):
            raise ValueError(f"{self._name}: norm is {norm!r} but must be 'linf' or 'l2'")
        clip: Any = self.clip
        if clip is not None:
            if not hasattr(clip, "__len__") or isinstance(clip, str):
                raise TypeError(f"{self._name}: clip is a {type(clip).__name__} but must be (low, high)")
            for bound in clip:
                real_number(self._name, "a bound of clip", bound)
            if not (len(clip) == 2 and clip[0] <= clip[1]):
                raise ValueError(f"{self._name}: clip is {clip} but must be (low, high)")
        whole_number(self._name, "input", self.input, 0)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __call__(
        self,
        model: Module,
        loss: Callable[..., Tensor],
        inputs: TensorLike | tuple[TensorLike, ...],
        target: TensorLike | tuple[TensorLike, ...],
        rng: np.random.Generator | None = None,
        *,
        batch_size: int | None = None,
    ) -> Any:
        """The inputs with the one under attack perturbed: an array, or a tuple where one was given."""
        several = isinstance(inputs, tuple)
        given = tuple(inputs) if isinstance(inputs, tuple) else (inputs,)
        x = self.checked(given)
        start = self.start(x, rng)
        out = start.copy()

        def height(point: Tensor, part: slice) -> Tensor:
            others = sliced(given, part)
            answer = model(*others[: self.input], point, *others[self.input + 1 :])
            wanted = sliced(target, part) if isinstance(target, tuple) else sliced((target,), part)[0]
            if isinstance(answer, tuple) and not isinstance(target, tuple):
                answer = answer[0]
            return loss(answer, wanted)

        with as_evaluated(model):
            for part in parts(len(x), batch_size, self._name):
                out[part] = self.climb(partial(height, part=part), x[part], start[part])
        return (*given[: self.input], out, *given[self.input + 1 :]) if several else out

    def checked(self, inputs: tuple[Any, ...]) -> NDArray[Any]:
        """The input under attack as an array of floats."""
        name = self._name
        if self.input >= len(inputs):
            raise ValueError(f"{name}: input is {self.input} but there are {len(inputs)} inputs")
        x = inputs[self.input]
        x = x.detach().numpy() if isinstance(x, _core.Tensor) else np.asarray(x)
        if x.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{name}: inputs[{self.input}] has dtype {x.dtype} but must be float32 or float64; "
                "ids have no gradient: attendo.robust.FGM perturbs their embeddings"
            )
        if x.ndim < 1:
            raise ValueError(f"{name}: inputs[{self.input}] is a single number but must be (samples, ...)")
        out: NDArray[Any] = x
        self._check_bounds(out)
        return out

    def _check_bounds(self, x: NDArray[Any]) -> None:
        """An input outside of the bounds would be moved to them, however far that is from it."""
        if self.clip is None or not x.size:
            return
        low, high = (x.dtype.type(bound) for bound in self.clip)
        slack = 4 * np.finfo(x.dtype).eps
        if x.min() < low - slack * abs(low) or x.max() > high + slack * abs(high):
            raise ValueError(
                f"{self._name}: clip is {tuple(self.clip)} but inputs[{self.input}] holds {x.min():g} to "
                f"{x.max():g}; the bounds must be those of what an input may be"
            )

    @property
    def random(self) -> bool:
        """Whether a Generator decides anything."""
        return False

    def start(self, x: NDArray[Any], rng: np.random.Generator | None) -> NDArray[Any]:
        """Where it begins: x itself."""
        return x

    def climb(self, height: Height, x: NDArray[Any], start: NDArray[Any]) -> NDArray[Any]:
        """From the start upwards: `height` gives the loss of a Tensor of x's shape."""
        raise NotImplementedError

    def at(self: _Attack, eps: float) -> _Attack:
        """The same attack of another strength."""
        return replace(self, eps=eps)

    def climbed(self, height: Height, start: NDArray[Any], x: NDArray[Any], size: float) -> NDArray[Any]:
        """One step from `start`, back into the ball around x and within the bounds."""
        with enable_grad():
            point = _core.tensor(start, None, True)
            (found,) = grad(height(point), point)
        g = found.numpy()
        if not np.isfinite(g).all():
            raise ValueError(f"{self._name}: the gradient at the input is not finite")
        step = np.sign(g) if self.norm == "linf" else unit(g)
        delta = start + x.dtype.type(-size if self.targeted else size) * step - x
        return self.bounded(x, delta)

    def bounded(self, x: NDArray[Any], delta: NDArray[Any]) -> NDArray[Any]:
        eps = x.dtype.type(self.eps)
        if self.norm == "linf":
            out = x + np.clip(delta, -eps, eps)
        else:
            length = length_of(delta)
            out = x + delta * (eps / np.maximum(length, eps) if self.eps > 0 else x.dtype.type(0))
        if self.clip is not None:
            out = np.clip(out, x.dtype.type(self.clip[0]), x.dtype.type(self.clip[1]))
        bounded: NDArray[Any] = out
        return bounded


def length_of(x: NDArray[Any]) -> NDArray[Any]:
    """The norm of each sample, (samples, 1, ...)."""
    rows = x.reshape(len(x), -1)
    out: NDArray[Any] = np.linalg.norm(rows, axis=1).reshape(-1, *(1,) * (x.ndim - 1))
    return out


def unit(x: NDArray[Any]) -> NDArray[Any]:
    """Each sample scaled to norm 1; zeros stay zeros, and tiny numbers do not vanish when squared."""
    rows = x.reshape(len(x), -1)
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = rows / np.where(largest > 0, largest, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    out: NDArray[Any] = (scaled / np.where(length > 0, length, 1)).reshape(x.shape)
    return out

"""Pruning: small weights set to zero and kept there; heads of attention taken out for good.

    magnitude    w ← w · [|w| > the share-quantile of all |w|]       of all matrices together, or of each

w: any shape.   Han et al. 2015, §3. Heads: see heads.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._arguments import real_number
from .._core import Conv1d, Conv2d, Linear, MultiHeadAttention
from ..callbacks import Callback
from .heads import check_floats, head_importance, heads, layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Module, Tensor
    from ..train import Trainer

__all__ = ["Magnitude", "Sparsity", "head_importance", "heads", "layer", "magnitude", "sparsity"]


def __dir__() -> list[str]:
    return __all__


class Magnitude(Callback):
    """Which weights were set to zero; as a callback of ``fit`` it keeps them there, to the bit.

    Made by :func:`magnitude`. Give it to ``fit`` before a callback that saves the model.

    Attributes
    ----------
    masks : dict of str to ndarray of bool
        For each pruned parameter, True where a weight is kept.

    Source: python/attendo/compress/prune.py
    """

    def __init__(self, model: Module, masks: dict[str, NDArray[np.bool_]]) -> None:
        self.masks = masks
        self._parameters = {name: value for name, value in model.named_parameters() if name in masks}

    def apply(self) -> None:
        """Set to zero what the masks leave out."""
        for name, parameter in self._parameters.items():
            values = parameter.numpy()
            parameter.assign(np.where(self.masks[name], values, values.dtype.type(0)))

    def on_train_begin(self, trainer: Trainer) -> None:
        """The weights that the model begins with."""
        self.apply()

    def on_batch_end(self, trainer: Trainer, info: Any) -> None:
        """After each step, whatever momentum and decay made of them; in the average of the weights too."""
        self.apply()
        if trainer.average is not None:
            with trainer.averaged():
                self.apply()

    def state_dict(self) -> dict[str, Any]:
        """The masks, for a checkpoint."""
        return {name: mask.copy() for name, mask in self.masks.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The masks of a checkpoint."""
        if set(state) != set(self.masks):
            raise ValueError("Magnitude: the checkpoint's masks are of other parameters")
        self.masks = {name: np.asarray(mask, dtype=np.bool_) for name, mask in state.items()}

    def __repr__(self) -> str:
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        size = sum(mask.size for mask in self.masks.values())
        return f"Magnitude({len(self.masks)} matrices, {1 - kept / max(size, 1):.1%} zero)"


def magnitude(
    model: Module,
    share: float,
    *,
    scope: Literal["global", "layer"] = "global",
    parameters: Sequence[str] | None = None,
) -> Magnitude:
    r"""Set the smallest weights to zero, in place.

    Parameters
    ----------
    model : Module
        It is changed.
    share : float
        Of the weights, 0 or more and below 1: exactly ``int(share * n)`` of n become zero.
    scope : {"global", "layer"}
        Whether the smallest of all matrices together are taken, or of each matrix its own.
    parameters : sequence of str, optional
        Which parameters, by name; the matrices of linear layers, attention and convolutions where it is not
        given: no embeddings, norms or biases.

    Returns
    -------
    Magnitude
        The masks: give it to ``fit`` as a callback, so that fine-tuning leaves them as they are.

    Raises
    ------
    ValueError
        When share is not 0 or more and below 1, scope is none of its words, a name is not there or there is
        nothing to prune, or the model is int8.
    TypeError
        When share is no number.

    Notes
    -----
    Of equal weights the first ones go. Zeros cost as much time and memory as other numbers:
    :func:`heads` makes a model that is smaller and faster.

    References
    ----------
    Han et al. 2015, "Learning both weights and connections for efficient neural networks", §3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(4, 3, seed=0)
    >>> pruned = at.compress.prune.magnitude(model, 0.5)
    >>> int((model.weight.numpy() == 0).sum())
    6
    >>> x, y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
    >>> trainer = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.Adam(lr=0.1))
    >>> history = trainer.fit(x, y, epochs=3, callbacks=[pruned], progress=False)
    >>> int((model.weight.numpy() == 0).sum())
    6

    Source: python/attendo/compress/prune.py
    """
    real_number("magnitude", "share", share)
    if not 0 <= share < 1:
        raise ValueError(f"magnitude: share is {share} but must be 0 or more and below 1")
    if scope not in ("global", "layer"):
        raise ValueError(f"magnitude: scope is {scope!r} but must be 'global' or 'layer'")
    chosen = _matrices(model, parameters)
    check_floats("magnitude", chosen)
    sizes = {name: np.abs(parameter.numpy()) for name, parameter in chosen.items()}
    if scope == "layer":
        masks = {name: _largest([size], share)[0] for name, size in sizes.items()}
    else:
        masks = dict(zip(sizes, _largest(list(sizes.values()), share), strict=True))
    pruned = Magnitude(model, masks)
    pruned.apply()
    return pruned


def _matrices(model: Module, parameters: Sequence[str] | None) -> dict[str, Tensor]:
    named = dict(model.named_parameters())
    if parameters is not None:
        for name in parameters:
            if name not in named:
                raise ValueError(f"magnitude: parameters holds {name!r}, which is no parameter of the model")
        found = {name: named[name] for name in parameters}
    else:
        owners = (Conv1d, Conv2d, Linear, MultiHeadAttention)
        own = {
            f"{prefix}.{name}" if prefix else name
            for prefix, one in model.named_modules()
            if isinstance(one, owners)
            for name, _ in one.named_parameters()
        }
        found = {name: value for name, value in named.items() if name in own and value.ndim > 1}
    if not found:
        raise ValueError("magnitude: the model has no matrix to prune")
    return found


def _largest(sizes: list[NDArray[Any]], share: float) -> list[NDArray[np.bool_]]:
    """True for all but the smallest share of all numbers together."""
    flat = np.concatenate([size.ravel() for size in sizes])
    mask = np.ones(flat.size, dtype=np.bool_)
    mask[np.argsort(flat, kind="stable")[: int(share * flat.size)]] = False
    ends = np.cumsum([size.size for size in sizes])[:-1]
    return [one.reshape(size.shape) for one, size in zip(np.split(mask, ends), sizes, strict=True)]


@dataclass(frozen=True)
class Sparsity:
    """What :func:`sparsity` gives: ``print`` it for a table.

    Attributes
    ----------
    rows : tuple of (str, int, int)
        Name, numbers and zeros of each parameter.
    """

    rows: tuple[tuple[str, int, int], ...]

    @property
    def share(self) -> float:
        """The share of zeros among all parameters."""
        return sum(zeros for _, _, zeros in self.rows) / max(sum(size for _, size, _ in self.rows), 1)

    def __str__(self) -> str:
        size, zeros = sum(row[1] for row in self.rows), sum(row[2] for row in self.rows)
        rows = [*self.rows, ("all", size, zeros)]
        width = max(len(name) for name, _, _ in rows)
        lines = [f"{'parameter':<{width}} {'numbers':>12} {'zeros':>12} {'share':>7}"]
        lines += [f"{name:<{width}} {n:>12,} {zero:>12,} {zero / max(n, 1):>7.1%}" for name, n, zero in rows]
        return "\n".join(lines)


def sparsity(model: Module) -> Sparsity:
    """How many zeros are in each parameter.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Sparsity

    Examples
    --------
    >>> import attendo as at
    >>> model = at.nn.Linear(4, 2, bias=False, seed=0)
    >>> pruned = at.compress.prune.magnitude(model, 0.25)
    >>> print(at.compress.prune.sparsity(model))
    parameter      numbers        zeros   share
    weight               8            2   25.0%
    all                  8            2   25.0%

    Source: python/attendo/compress/prune.py
    """
    return Sparsity(
        tuple((name, value.size, int((value.numpy() == 0).sum())) for name, value in model.named_parameters())
    )

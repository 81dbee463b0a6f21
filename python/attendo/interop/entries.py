"""How a parameter is made of the tensors in a checkpoint, and they of it again.

An entry names a parameter of ours and its shape, which follows from the config alone: what does not fit is
refused before a model is built. ``copied``, ``transposed``, ``stacked`` and ``constant`` make entries:

    copied("embedding.weight", "wte.weight", (V, d))
    transposed("layers.0.linear1.weight", "h.0.mlp.c_fc.weight", (dff, d))        theirs is (d, dff)
    stacked("layers.0.in_proj_weight", {"q.weight": d, "k.weight": d}, (d,))      rows, one below another
    constant("layers.0.in_proj_bias", 0.0, (3 * d,))                              theirs has none
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A parameter ``ours`` of a shape, the tensors it is made of with their shapes, and the two ways.

    ``parts(out)`` gives the places in our array that the tensors fill, one each: views of their shapes.
    """

    ours: str
    shape: Shape
    theirs: tuple[tuple[str, Shape], ...]
    parts: Callable[[Array], list[Array]]
    value: float | None = None  # of a constant


def copied(ours: str, theirs: str, shape: Shape) -> Entry:
    """The same numbers under another name."""
    return Entry(ours, shape, ((theirs, shape),), lambda out: [out])


def reshaped(ours: str, theirs: str, shape: Shape, stored: Shape) -> Entry:
    """The same numbers, in the same order, in another shape."""
    return Entry(ours, shape, ((theirs, stored),), lambda out: [out.reshape(stored)])


def transposed(ours: str, theirs: str, shape: Shape) -> Entry:
    """A matrix that is stored the other way round, (in, out)."""
    return Entry(ours, shape, ((theirs, shape[::-1]),), lambda out: [out.T])


def stacked(ours: str, theirs: dict[str, int], rest: Shape = ()) -> Entry:
    """Tensors one below another: their names with their numbers of rows, and the shape of a row."""
    ends = np.cumsum([0, *theirs.values()]).tolist()

    def parts(out: Array) -> list[Array]:
        return [out[begin:end] for begin, end in pairwise(ends)]

    return Entry(ours, (ends[-1], *rest), tuple((n, (rows, *rest)) for n, rows in theirs.items()), parts)


def constant(ours: str, value: float, shape: Shape) -> Entry:
    """A parameter of ours that the checkpoint's model has not, and the number it has there."""
    return Entry(ours, shape, (), lambda out: [], value)


def linear(ours: str, theirs: str, features_out: int, features_in: int, bias: bool = True) -> Iterator[Entry]:
    """The weight and bias of a linear layer, the weight (out, in) in both."""
    yield copied(f"{ours}.weight", f"{theirs}.weight", (features_out, features_in))
    if bias:
        yield copied(f"{ours}.bias", f"{theirs}.bias", (features_out,))


def norm(ours: str, theirs: str, features: int, bias: bool = True) -> Iterator[Entry]:
    """The weight and bias of a layer norm; of an RMS norm without the bias."""
    yield copied(f"{ours}.weight", f"{theirs}.weight", (features,))
    if bias:
        yield copied(f"{ours}.bias", f"{theirs}.bias", (features,))

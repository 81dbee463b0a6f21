"""Types that several modules name; read by type checkers only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import Tensor
from .masks import Mask

#: What an operation takes: a Tensor, an array, what has ``__array__`` or ``__dlpack__``, a list, a number.
TensorLike: TypeAlias = Tensor | ArrayLike
#: What comes back for arrays: float32 or float64.
FloatArray: TypeAlias = NDArray[np.floating[Any]]
#: True = may attend.
MaskLike: TypeAlias = Mask | ArrayLike
#: How well queries and keys match: a name, or a function of two blocks.
ScoreLike: TypeAlias = (
    Literal["scaled_dot", "dot", "general", "additive", "cosine", "kernel"]
    | Callable[[Tensor, Tensor], Tensor]
)
#: What a score is made with: one array, or several.
ScoreParams: TypeAlias = TensorLike | tuple[TensorLike, ...]
#: "float32" or "float64".
FloatDType: TypeAlias = str | type[np.floating[Any]] | np.dtype[np.floating[Any]]
#: An axis, several, or None for all.
Axis: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | None
Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Index: TypeAlias = SupportsIndex | slice | EllipsisType | None
#: What stands between the brackets of ``x[...]``.
Key: TypeAlias = _Index | tuple[_Index, ...]
#: One number for both axes of an image, or (height, width).
Pair: TypeAlias = int | tuple[int, int]
#: Padding by its purpose: as much as keeps the size, or none.
Padding: TypeAlias = Literal["same", "valid"]
#: A size of which None means: as the input's.
PoolSize: TypeAlias = int | tuple[int | None, int | None] | None
PathLike: TypeAlias = str | os.PathLike[str]

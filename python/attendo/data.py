"""Samples for the Trainer: sequences of unequal lengths.

>>> import numpy as np
>>> import attendo as at
>>> sentences = at.data.Ragged([[4, 8, 15], [16], [23, 42]])
>>> sentences.lengths
array([3, 1, 2])
>>> sentences.padded()
array([[ 4,  8, 15],
       [16,  0,  0],
       [23, 42,  0]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ._typing import TensorLike

__all__ = ["Ragged"]


def __dir__() -> list[str]:
    return __all__


class Ragged:
    """Sequences of unequal lengths: each batch is padded to its own longest, not to that of all.

    Give it to :meth:`attendo.train.Trainer.fit` in place of an array, with ``bucket_by=`` to bring sequences
    of near lengths together.

    Parameters
    ----------
    sequences : iterable of array_like, each of shape (length, ...)
        The samples: numbers of one kind, with the same axes behind the first.
    padding : float
        What stands behind a shorter sequence: the id of padding.

    Raises
    ------
    ValueError
        When there are no sequences, or they differ in more than their length.
    TypeError
        When they are not of numbers, or padding is no whole number for sequences of integers.
    """

    def __init__(self, sequences: Iterable[TensorLike], padding: float = 0) -> None:
        arrays = [np.asarray(sequence) for sequence in sequences]
        if not arrays:
            raise ValueError("Ragged: sequences is empty")
        for i, array in enumerate(arrays):
            if array.ndim == 0:
                raise ValueError(f"Ragged: sequences[{i}] is a single number but must be a sequence")
            if array.size and array.dtype.kind not in "biuf":
                raise TypeError(f"Ragged: sequences[{i}] has dtype {array.dtype} but must hold numbers")
            if array.shape[1:] != arrays[0].shape[1:] and array.size and arrays[0].size:
                raise ValueError(
                    f"Ragged: sequences[{i}] has shape {array.shape} but sequences[0] has {arrays[0].shape}; "
                    "only the first axis may differ"
                )
        full = [array for array in arrays if array.size] or [arrays[0].astype(np.int64)]
        values = np.concatenate(full)
        values = values.astype(np.float32 if values.dtype == np.float16 else values.dtype)
        if values.dtype.kind in "biu" and padding != int(padding):
            raise TypeError(f"Ragged: padding is {padding} but must be a whole number, as the sequences are")
        self.values: NDArray[Any] = values
        self.lengths: NDArray[np.int64] = np.array([len(a) if a.size else 0 for a in arrays], dtype=np.int64)
        self.padding = padding
        starts = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        self._starts: NDArray[np.int64] = starts
        self._column = _core.Samples(values, starts, padding)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> NDArray[Any]:
        """Sequence i, without padding."""
        i = range(len(self))[i]
        return self.values[self._starts[i] : self._starts[i + 1]]

    @property
    def mask(self) -> Ragged:
        """What is no padding, True for each element: the mask that many models take beside their ids."""
        return Ragged([np.ones(n, dtype=bool) for n in self.lengths], padding=False)

    def padded(self) -> NDArray[Any]:
        """All of them as one array, (samples, longest, ...)."""
        shape = (len(self), int(self.lengths.max()), *self.values.shape[1:])
        out = np.full(shape, self.padding, dtype=self.values.dtype)
        for row, sequence in zip(out, (self[i] for i in range(len(self))), strict=True):
            row[: len(sequence)] = sequence
        return out

    def __repr__(self) -> str:
        shortest, longest = self.lengths.min(), self.lengths.max()
        kind = f"{self.values.dtype}, padding {self.padding}"
        return f"Ragged({len(self)} sequences of {shortest} to {longest}, {kind})"

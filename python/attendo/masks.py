r"""Masks: which query may attend to which key. **True means may attend**, everywhere.

Masks are objects. They combine with ``&`` (both allow), ``|`` (either allows) and ``~`` (the opposite), and
they know their structure: a causal mask or one of lengths is never written out, the blocks it empties are
never computed.

>>> import attendo as at
>>> (at.masks.causal() & at.masks.lengths([2])).dense(1, 1, 3, 3)[0, 0].astype(int)
array([[1, 0, 0],
       [1, 1, 0],
       [1, 1, 0]])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    BoolArray = NDArray[np.bool_]
    # causal?, lengths (batch,) or None, bool broadcastable to (batch, heads, L, S) or None: all must allow
    Lowered = tuple[bool, NDArray[np.int64] | None, BoolArray | None]

__all__ = ["Mask", "causal", "dense", "lengths"]


def __dir__() -> list[str]:
    return __all__


class Mask(ABC):
    """Which query may attend to which key; combine with ``&``, ``|`` and ``~``.

    Made by :func:`causal`, :func:`lengths` and :func:`dense`, and given to ``mask=``.

    Examples
    --------
    >>> import attendo as at
    >>> ~(at.masks.causal() | at.masks.lengths([2]))
    ~(causal() | lengths([2]))
    """

    #: True when the answer depends on the queries' absolute positions.
    _needs_offset = False

    @abstractmethod
    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        """Broadcastable to (batch, heads, length, keys)."""

    def _lower(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> Lowered:
        return False, None, self._dense(batch, heads, length, keys, q_offset)

    def dense(self, batch: int, heads: int, length: int, keys: int, *, q_offset: int = 0) -> BoolArray:
        """Write the mask out.

        Parameters
        ----------
        batch, heads, length, keys : int
            The shape of the attention weights.
        q_offset : int
            Position of the first query; what ``causal`` counts from.

        Returns
        -------
        ndarray of bool, shape (batch, heads, length, keys)
            True where the query may attend to the key.
        """
        out = self._dense(batch, heads, length, keys, q_offset)
        return np.broadcast_to(out, (batch, heads, length, keys)).copy()

    def __and__(self, other: object) -> Mask:
        return _And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: object) -> Mask:
        return _Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> Mask:
        return _Not(self)

    def __bool__(self) -> bool:
        raise TypeError("a mask is neither true nor false; combine masks with & | ~, not with and, or, not")


class _Causal(Mask):
    _needs_offset = True

    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        return np.arange(keys) <= np.arange(length)[:, None] + q_offset

    def _lower(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> Lowered:
        return True, None, None

    def __repr__(self) -> str:
        return "causal()"


class _Lengths(Mask):
    def __init__(self, lengths: NDArray[np.int64]) -> None:
        self._lengths = lengths

    def _checked(self, batch: int, keys: int) -> NDArray[np.int64]:
        if self._lengths.size != batch:
            raise ValueError(f"attention: lengths has {self._lengths.size} entries but the batch has {batch}")
        if self._lengths.size and int(self._lengths.max()) > keys:
            raise ValueError(
                f"attention: lengths holds {self._lengths.max()} but must hold 0 to {keys}, "
                "the number of keys"
            )
        return self._lengths

    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        return np.arange(keys) < self._checked(batch, keys)[:, None, None, None]

    def _lower(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> Lowered:
        return False, self._checked(batch, keys), None

    def __repr__(self) -> str:
        return f"lengths({self._lengths.tolist()})"


class _Dense(Mask):
    def __init__(self, array: BoolArray) -> None:
        self._array = array

    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        try:
            np.broadcast_to(self._array, (batch, heads, length, keys))
        except ValueError:
            raise ValueError(
                f"attention: mask has shape {self._array.shape}, which does not broadcast to "
                f"({batch}, {heads}, {length}, {keys}), which is (batch, heads, L, S)"
            ) from None
        return self._array

    def __repr__(self) -> str:
        return f"dense(shape={self._array.shape})"


class _And(Mask):
    def __init__(self, a: Mask, b: Mask) -> None:
        self._a, self._b = a, b
        self._needs_offset = a._needs_offset or b._needs_offset

    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        return self._a._dense(batch, heads, length, keys, q_offset) & self._b._dense(
            batch, heads, length, keys, q_offset
        )

    def _lower(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> Lowered:
        a = self._a._lower(batch, heads, length, keys, q_offset)
        b = self._b._lower(batch, heads, length, keys, q_offset)
        return a[0] or b[0], _both(a[1], b[1], np.minimum), _both(a[2], b[2], np.logical_and)

    def __repr__(self) -> str:
        return f"({self._a!r} & {self._b!r})"


class _Or(Mask):
    def __init__(self, a: Mask, b: Mask) -> None:
        self._a, self._b = a, b
        self._needs_offset = a._needs_offset or b._needs_offset

    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        return self._a._dense(batch, heads, length, keys, q_offset) | self._b._dense(
            batch, heads, length, keys, q_offset
        )

    def __repr__(self) -> str:
        return f"({self._a!r} | {self._b!r})"


class _Not(Mask):
    def __init__(self, a: Mask) -> None:
        self._a = a
        self._needs_offset = a._needs_offset

    def _dense(self, batch: int, heads: int, length: int, keys: int, q_offset: int) -> BoolArray:
        return ~self._a._dense(batch, heads, length, keys, q_offset)

    def __repr__(self) -> str:
        return f"~{self._a!r}"


def _both(a: Any, b: Any, join: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return join(a, b)


def causal() -> Mask:
    r"""Each query sees the keys up to its own position: :math:`j \le i + \text{q\_offset}`.

    Returns
    -------
    Mask
        Where there are as many queries as keys, ``q_offset`` is 0. Otherwise it must be given to the call: a
        causal mask over unequal lengths has two readings.

    Examples
    --------
    >>> import attendo as at
    >>> at.masks.causal().dense(1, 1, 2, 4, q_offset=2)[0, 0].astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 1]])
    """
    return _Causal()


def lengths(lengths: ArrayLike) -> Mask:
    r"""Keys from ``lengths[b]`` on are padding of batch entry ``b``.

    Parameters
    ----------
    lengths : array_like of int, shape (batch,)
        How many keys of each batch entry are real, 0 or more.

    Returns
    -------
    Mask
        Lets every query of entry b see the keys :math:`j < \text{lengths}_b`.

    Raises
    ------
    TypeError
        When they are not integers.
    ValueError
        When they are not one-dimensional or one is negative; at the call, when there is not one for each
        batch entry.

    Examples
    --------
    >>> import attendo as at
    >>> at.masks.lengths([1, 3]).dense(2, 1, 1, 3)[:, 0, 0].astype(int)
    array([[1, 0, 0],
           [1, 1, 1]])
    """
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths: lengths has dtype {array.dtype} but must be integers")
    if array.ndim != 1:
        raise ValueError(f"lengths: lengths has shape {array.shape} but must have one axis (batch,)")
    if array.size and int(array.min()) < 0:
        raise ValueError(f"lengths: lengths holds {array.min()} but must hold 0 or more")
    return _Lengths(array.astype(np.int64))


def dense(array: ArrayLike) -> Mask:
    """A mask written out.

    Parameters
    ----------
    array : array_like of bool, broadcastable to (batch, heads, L, S)
        True where the query may attend to the key. Copied.

    Returns
    -------
    Mask

    Raises
    ------
    ValueError
        At the call, when it does not broadcast to the weights.
    TypeError
        When it is not bool: numbers to be added to the scores go to ``bias=``.

    Examples
    --------
    >>> import attendo as at
    >>> ~at.masks.dense([[True, False]])
    ~dense(shape=(1, 2))
    """
    out = np.array(array)
    if out.dtype != np.bool_:
        raise TypeError(
            f"dense: array has dtype {out.dtype} but must be bool (True = may attend); "
            "numbers to be added to the scores go to bias="
        )
    return _Dense(out)

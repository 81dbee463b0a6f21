"""Text varied token by token: tokens dropped, exchanged or hidden.

On ids (B, L) with padding, or on lists of tokens of any length, of words as well as of ids. Padding and
special tokens stay what they are.   Wei and Zou 2019, "EDA"; hidden words: Devlin et al. 2019; word dropout:
Iyyer et al. 2015.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Arrays, Augmentation, check_generator, check_share, check_whole, chosen, replaced

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class _TokenAugmentation(Augmentation):
    p: float
    _: KW_ONLY
    special: Iterable[Hashable] = ()
    pad_id: int | None = 0
    input: int = 0
    mask: int | None = None
    lengths: int | None = None

    def __post_init__(self) -> None:
        check_share(self._name, "p", self.p)
        if isinstance(self.special, str):
            raise TypeError(f"{self._name}: special is one text but must be several tokens")
        object.__setattr__(self, "special", tuple(self.special))
        for argument in ("input", "mask", "lengths"):
            value = getattr(self, argument)
            if argument == "input" or value is not None:
                check_whole(self._name, argument, value, 0)
        if self.mask is not None and self.lengths is not None:
            raise ValueError(f"{self._name}: mask= and lengths= both say what is padding; give one")
        pad_id: Any = self.pad_id
        if not (pad_id is None or isinstance(pad_id, (int, np.integer))):
            raise TypeError(f"{self._name}: pad_id is {pad_id!r} but must be an integer or None")

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __call__(self, inputs: Arrays, targets: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """Vary the tokens of a batch: ids (B, L) of integers, or a list of lists of tokens."""
        check_generator(self._name, rng)
        given = chosen(self._name, "input", inputs, self.input)
        if isinstance(given, (list, tuple)):
            return replaced(inputs, self.input, self._lists(given, rng)), targets
        ids = np.array(given)
        if ids.dtype.kind not in "iu":
            raise TypeError(f"{self._name}: inputs[{self.input}] has dtype {ids.dtype} but must be integers")
        if ids.ndim != 2:
            raise ValueError(f"{self._name}: inputs[{self.input}] has shape {ids.shape} but must be (B, L)")
        self._check_ids(ids.dtype)
        real = self._real(inputs, ids)
        before = real.sum(axis=1)
        ids, real = self._vary(ids, real, real & ~np.isin(ids, self._special_ids()), rng)
        out = replaced(inputs, self.input, ids)
        if self.mask is not None:
            out = replaced(out, self.mask, real)
        if self.lengths is not None:
            lengths = np.asarray(inputs[self.lengths])
            fewer = (before - real.sum(axis=1)).astype(lengths.dtype)
            out = replaced(out, self.lengths, lengths - fewer)
        return out, targets

    def _special_ids(self) -> list[int]:
        return [int(one) for one in self.special if isinstance(one, (int, np.integer))]

    def _check_ids(self, dtype: np.dtype[Any]) -> None:
        """What is written into an array must fit it."""
        self._check_fits("pad_id", self.pad_id, dtype)

    def _check_fits(self, argument: str, value: Any, dtype: np.dtype[Any]) -> None:
        if value is None:
            return
        if not isinstance(value, (int, np.integer)):
            raise TypeError(f"{self._name}: {argument} is {value!r} but ids are integers")
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise ValueError(f"{self._name}: {argument} is {value}, which {dtype} cannot hold")

    def _real(self, inputs: Arrays, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """True where there is a token and no padding, (B, L)."""
        if self.mask is not None:
            mask = np.asarray(chosen(self._name, "input", inputs, self.mask))
            if mask.dtype != np.bool_:
                raise TypeError(f"{self._name}: inputs[{self.mask}] has dtype {mask.dtype} but must be bool")
            if mask.shape != ids.shape:
                raise ValueError(
                    f"{self._name}: inputs[{self.mask}] has shape {mask.shape} but must be {ids.shape}"
                )
            return mask.copy()
        if self.lengths is not None:
            where = f"{self._name}: inputs[{self.lengths}]"
            lengths = np.asarray(chosen(self._name, "input", inputs, self.lengths))
            if lengths.dtype.kind not in "iu":
                raise TypeError(f"{where} has dtype {lengths.dtype} but must be integers")
            if lengths.shape != ids.shape[:1]:
                raise ValueError(f"{where} has shape {lengths.shape} but must be {ids.shape[:1]}")
            if lengths.size and not 0 <= int(lengths.min()) <= int(lengths.max()) <= ids.shape[1]:
                raise ValueError(f"{where} must hold 0 to {ids.shape[1]}")
            known: NDArray[np.bool_] = np.arange(ids.shape[1]) < lengths[:, None]
            return known
        if self.pad_id is None:
            return np.ones(ids.shape, dtype=np.bool_)
        padded: NDArray[np.bool_] = ids != self.pad_id
        return padded

    def _lists(self, rows: list[Any] | tuple[Any, ...], rng: np.random.Generator) -> list[list[Any]]:
        if self.mask is not None or self.lengths is not None:
            raise ValueError(f"{self._name}: lists of tokens have no padding; leave mask= and lengths= out")
        for row in rows:
            if not isinstance(row, (list, tuple)):
                kind = type(row).__name__
                raise TypeError(
                    f"{self._name}: inputs[{self.input}] holds a {kind} but must hold lists of tokens"
                )
        longest = max(map(len, rows), default=0)
        tokens = np.full((len(rows), longest), None, dtype=object)
        for tokens_row, row in zip(tokens, rows, strict=True):
            for place, token in enumerate(row):
                tokens_row[place] = token
        real = np.arange(longest) < np.array([len(row) for row in rows], dtype=np.int64)[:, None]
        closed = frozenset(self.special)
        free = np.array([[token not in closed for token in row] for row in tokens], dtype=np.bool_)
        tokens, real = self._vary(tokens, real, real & free.reshape(real.shape), rng)
        return [row[:count].tolist() for row, count in zip(tokens, real.sum(axis=1), strict=True)]

    def _vary(
        self, tokens: NDArray[Any], real: NDArray[np.bool_], free: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Tokens and what of them is real, (B, L) both, varied where `free`; `tokens` may be written to."""
        raise NotImplementedError


class DropTokens(_TokenAugmentation):
    r"""Leave tokens out; those behind move up and the row is padded.

    Parameters
    ----------
    p : float
        That a token is left out, each by itself. Of the tokens of a sequence that may be left out one stays,
        any with the same chance, if all would go.
    special : iterable of int or str
        Tokens that stay: beginning, end, separators.
    pad_id : int, optional
        What is padding, and what comes in for a token that is left out. None: nothing is padding, which
        works for lists of tokens only.
    input : int
        Which of the inputs holds the tokens.
    mask : int, optional
        Which of the inputs is a bool mask (B, L), True for a real token: it then says what is padding, and is
        moved along.
    lengths : int, optional
        Which of the inputs holds the number of real tokens (B,): as mask.

    Raises
    ------
    ValueError
        When p is not 0 to 1 or an index below 0; at the call, when a shape does not fit.
    TypeError
        At the call, when the tokens are neither integers nor lists, or rng is no Generator.

    Notes
    -----
    A sequence of l tokens keeps :math:`l (1 - p) + p^l` of them in the mean. Rows padded at the front stay
    so. Targets are not touched: it is for targets of whole sequences.

    References
    ----------
    Wei and Zou 2019, "EDA: easy data augmentation techniques", §2 (random deletion). Iyyer et al. 2015, §3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> drop = at.augment.DropTokens(0.4, special=[1, 2])
    >>> (ids,), _ = drop((np.array([[1, 5, 6, 7, 8, 2, 0]]),), (), np.random.default_rng(3))
    >>> ids
    array([[1, 6, 7, 2, 0, 0, 0]])
    >>> (words,), _ = drop(([["the", "cat", "sat"]],), (), np.random.default_rng(0))
    >>> words
    [['the']]

    Source: python/attendo/augment/text.py
    """

    def _check_ids(self, dtype: np.dtype[Any]) -> None:
        if self.pad_id is None:
            raise ValueError("DropTokens: pad_id is None, but what is left out of an array must be padded")
        super()._check_ids(dtype)

    def _vary(
        self, tokens: NDArray[Any], real: NDArray[np.bool_], free: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if not tokens.size:
            return tokens, real
        draws = rng.random(tokens.shape)
        drop = free & (draws < self.p)
        rows = np.flatnonzero(free.any(axis=1) & ~(free & ~drop).any(axis=1))  # nothing would be left
        drop[rows, np.where(free, draws, -1.0)[rows].argmax(axis=1)] = False
        at_front = ~real[:, :1] & real[:, -1:]
        order = np.argsort(np.where(at_front, ~drop, drop), axis=1, kind="stable")
        dropped = np.take_along_axis(drop, order, axis=1)
        tokens = np.take_along_axis(tokens, order, axis=1)
        tokens[dropped] = self.pad_id
        return tokens, np.take_along_axis(real, order, axis=1) & ~dropped


class SwapTokens(_TokenAugmentation):
    r"""Exchange tokens with others of their sequence.

    Parameters
    ----------
    p : float
        That a token is exchanged with another of its sequence, any with the same chance: p l exchanges in a
        sequence of l tokens in the mean.
    special, pad_id, input, mask, lengths
        As of :class:`DropTokens`; special tokens and padding keep their places.

    Raises
    ------
    ValueError, TypeError
        As :class:`DropTokens`.

    Notes
    -----
    Every sequence keeps its tokens, in another order.

    References
    ----------
    Wei and Zou 2019, "EDA: easy data augmentation techniques", §2 (random swap).

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> swap = at.augment.SwapTokens(0.3, special=[1, 2])
    >>> (ids,), _ = swap((np.array([[1, 5, 6, 7, 8, 2, 0]]),), (), np.random.default_rng(0))
    >>> ids
    array([[1, 7, 8, 6, 5, 2, 0]])

    Source: python/attendo/augment/text.py
    """

    def _vary(
        self, tokens: NDArray[Any], real: NDArray[np.bool_], free: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        chosen_ones = free & (rng.random(tokens.shape) < self.p)
        draws = rng.random(tokens.shape)
        count = free.sum(axis=1)
        place = np.argsort(~free, axis=1, kind="stable")  # (B, L): where the n-th free token stands
        rank = np.cumsum(free, axis=1) - 1
        for here in range(tokens.shape[1]):
            rows = np.flatnonzero(chosen_ones[:, here] & (count > 1))
            other = (draws[rows, here] * (count[rows] - 1)).astype(np.int64)
            other += other >= rank[rows, here]  # any free token but this one
            there = place[rows, other]
            tokens[rows, here], tokens[rows, there] = tokens[rows, there], tokens[rows, here]
        return tokens, real


@dataclass(frozen=True)
class MaskTokens(_TokenAugmentation):
    r"""Hide tokens behind a mask token (or an unknown one).

    Parameters
    ----------
    p : float
        That a token is hidden, each by itself.
    mask_id : int or str
        What stands for a hidden token.
    special, pad_id, input, mask, lengths
        As of :class:`DropTokens`; special tokens and padding are not hidden.

    Raises
    ------
    ValueError, TypeError
        As :class:`DropTokens`; at the call, when the ids' dtype cannot hold mask_id.

    Notes
    -----
    The targets stay; to learn the hidden tokens themselves see :func:`attendo.text.mask_tokens`.

    References
    ----------
    Iyyer et al. 2015, §3.2 (word dropout). Devlin et al. 2019, §3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> hide = at.augment.MaskTokens(0.5, mask_id=9, special=[1, 2])
    >>> (ids,), _ = hide((np.array([[1, 5, 6, 7, 8, 2, 0]]),), (), np.random.default_rng(1))
    >>> ids
    array([[1, 5, 9, 7, 9, 2, 0]])

    Source: python/attendo/augment/text.py
    """

    mask_id: int | str

    def _check_ids(self, dtype: np.dtype[Any]) -> None:
        self._check_fits("mask_id", self.mask_id, dtype)

    def _vary(
        self, tokens: NDArray[Any], real: NDArray[np.bool_], free: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        tokens[free & (rng.random(tokens.shape) < self.p)] = self.mask_id
        return tokens, real

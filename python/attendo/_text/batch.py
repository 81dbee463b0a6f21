"""From texts to arrays of ids with a mask, and back: what tokenizers of every kind have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: The ids of one text, and for each whether it is of the first text (0) or the second (1).
Encoded = tuple[list[int], list[int]]


class Batches(ABC):
    """``encode``, ``encode_batch``, ``decode`` and ``decode_batch`` over what a tokenizer does with lists."""

    pad_id: int

    @property
    @abstractmethod
    def vocab_size(self) -> int: ...

    @abstractmethod
    def _encoded(
        self, texts: Sequence[Any], special_tokens: bool, max_length: int | None
    ) -> list[Encoded]: ...

    @abstractmethod
    def _decoded(self, ids: list[list[int]], skip_special_tokens: bool) -> list[str]: ...

    def encode(self, text: str, pair: str | None = None, *, special_tokens: bool = True) -> NDArray[np.int64]:
        """The ids of a text, or of two texts in a row.

        Parameters
        ----------
        text : str
        pair : str, optional
            The second text.
        special_tokens : bool
            Put tokens such as ``[CLS]`` and ``[SEP]`` where the vocabulary's model was trained with them.

        Returns
        -------
        ndarray of int64, shape (L,)

        Raises
        ------
        TypeError
            When a text is no str.
        ValueError
            When a text holds what is no character (half of a surrogate pair).
        """
        pairs = None if pair is None else [pair]
        ids, _ = self.encode_batch([text], pairs, special_tokens=special_tokens)
        one: NDArray[np.int64] = ids[0]
        return one

    @overload
    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        special_tokens: bool = True,
        max_length: int | None = None,
        pad_to: int | None = None,
        padding: Literal["post", "pre"] = "post",
        return_type_ids: Literal[False] = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]: ...
    @overload
    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        special_tokens: bool = True,
        max_length: int | None = None,
        pad_to: int | None = None,
        padding: Literal["post", "pre"] = "post",
        return_type_ids: Literal[True],
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]: ...
    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        special_tokens: bool = True,
        max_length: int | None = None,
        pad_to: int | None = None,
        padding: Literal["post", "pre"] = "post",
        return_type_ids: bool = False,
    ) -> tuple[NDArray[Any], ...]:
        """The ids of texts as one array, the short ones padded.

        Parameters
        ----------
        texts : sequence of str, B of them
        pairs : sequence of str, B of them, optional
            A second text for each.
        special_tokens : bool
            As in :meth:`encode`.
        max_length : int, optional
            Longer ones are cut at the end, but keep their special tokens.
        pad_to : int, optional
            The length L to pad to; that of the longest when not given.
        padding : {"post", "pre"}
            Where padding goes: behind the end, which masks of lengths and causal attention fit; or before the
            beginning.
        return_type_ids : bool
            Give the ids' texts too.

        Returns
        -------
        ids : ndarray of int64, shape (B, L)
            With ``pad_id`` as padding.
        mask : ndarray of bool, shape (B, L)
            True where a token is, False at padding: as ``mask[:, None, None, :]`` what attention may see.
        type_ids : ndarray of int64, shape (B, L)
            0 in the first text, 1 in the second. With ``return_type_ids`` only.

        Raises
        ------
        TypeError
            When texts is one str, or holds something else.
        ValueError
            When there are not as many pairs as texts, max_length or pad_to is too small, or a text holds what
            is no character.
        """
        if isinstance(texts, str) or isinstance(pairs, str):
            raise TypeError("encode_batch: texts is a str but must be a list of them")
        texts = list(texts)
        for text in [*texts, *(pairs or ())]:
            if not isinstance(text, str):
                raise TypeError(f"encode: a text is a {type(text).__name__} but must be a str")
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"encode_batch: there are {len(texts)} texts but {len(pairs)} pairs")
        if max_length is not None and not 1 <= max_length < 2**31:
            raise ValueError(f"encode_batch: max_length is {max_length} but must be 1 or more")
        if padding not in ("post", "pre"):
            raise ValueError(f"encode_batch: padding is {padding!r} but must be 'post' or 'pre'")
        inputs: Sequence[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
        rows = self._encoded(inputs, special_tokens, max_length)
        longest = max((len(ids) for ids, _ in rows), default=0)
        length = longest if pad_to is None else pad_to
        if length < longest:
            raise ValueError(
                f"encode_batch: pad_to is {pad_to} but a text has {longest} ids; give max_length"
            )
        ids = np.full((len(rows), length), self.pad_id, np.int64)
        mask, type_ids = np.zeros(ids.shape, np.bool_), np.zeros(ids.shape, np.int64)
        for i, (row, types) in enumerate(rows):
            place = slice(len(row)) if padding == "post" else slice(length - len(row), length)
            ids[i, place], mask[i, place], type_ids[i, place] = row, True, types
        return (ids, mask, type_ids) if return_type_ids else (ids, mask)

    def decode(self, ids: ArrayLike, *, skip_special_tokens: bool = True) -> str:
        """The text of ids.

        Parameters
        ----------
        ids : array_like of int, shape (L,)
        skip_special_tokens : bool
            Leave tokens such as ``[CLS]`` and padding out.

        Returns
        -------
        str

        Raises
        ------
        TypeError
            When ids are not integers.
        ValueError
            When ids has another shape, or an id is not of the vocabulary.
        """
        return self.decode_batch([ids], skip_special_tokens=skip_special_tokens)[0]

    def decode_batch(self, ids: Sequence[ArrayLike], *, skip_special_tokens: bool = True) -> list[str]:
        """The text of each row of ids; see :meth:`decode`."""
        rows = []
        for one in ids:
            row = np.asarray(one)
            if row.ndim != 1:
                raise ValueError(f"decode: ids has shape {row.shape} but must be (L,)")
            if row.dtype.kind not in "iu" and row.size:
                raise TypeError(f"decode: ids has dtype {row.dtype} but must be of integers")
            wrong = row[(row < 0) | (row >= self.vocab_size)] if row.size else row
            if wrong.size:
                raise ValueError(
                    f"decode: {wrong[0]} is not an id of the vocabulary, 0 to {self.vocab_size - 1}"
                )
            rows.append([int(number) for number in row])
        return self._decoded(rows, skip_special_tokens)

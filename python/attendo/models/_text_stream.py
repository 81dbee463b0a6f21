"""Text as its tokens come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["stream_text"]


def stream_text(
    tokens: Iterable[NDArray[np.int64]], decode: Callable[[list[int]], str], *, stop: Sequence[str] = ()
) -> Iterator[str]:
    """The text of a stream of tokens, piece by piece, up to a stop string.

    A piece is given once it can no longer change: characters of which only some bytes have come wait, and so
    does what may be the beginning of a stop string.

    Parameters
    ----------
    tokens : iterable of ndarray of int, shape (1,)
        What ``model.stream`` or :func:`stream` gives for one row.
    decode : callable
        From all tokens so far to their text: ``tokenizer.decode``.
    stop : sequence of str, optional
        The text ends before the first of them, however it is cut into tokens; the stream is then read no
        further.

    Yields
    ------
    str

    Raises
    ------
    ValueError
        When the stream has several rows, or a stop string is empty.
    TypeError
        When stop is not a sequence of str.

    Examples
    --------
    >>> import attendo as at
    >>> words = ["once ", "upon ", "a ", "ti", "me. ", "The e", "nd"]
    >>> tokens = at.models.stream(
    ...     lambda ids: [[float(j == ids.shape[1]) for j in range(7)]], [[0]], max_new_tokens=6
    ... )
    >>> list(at.models.stream_text(tokens, lambda ids: "".join(words[i] for i in ids), stop=[". The"]))
    ['upon ', 'a ', 'ti', 'me']

    Source: python/attendo/models/_text_stream.py
    """
    if isinstance(stop, str) or not all(isinstance(one, str) for one in stop):
        raise TypeError(f"stream_text: stop is {stop!r} but must be a list of str")
    if not all(stop):
        raise ValueError("stream_text: stop holds an empty string")
    return _pieces(tokens, decode, stop)


def _pieces(
    tokens: Iterable[NDArray[np.int64]], decode: Callable[[list[int]], str], stop: Sequence[str]
) -> Iterator[str]:
    ids: list[int] = []
    text, shown = "", 0
    for column in tokens:
        if len(column) != 1:
            raise ValueError(f"stream_text: tokens have {len(column)} rows but must have one")
        ids.append(int(column[0]))
        text = decode(ids)
        ends = [found for found in (text.find(one) for one in stop) if found >= 0]
        if ends:
            if min(ends) > shown:
                yield text[shown : min(ends)]
            return
        sure = len(text) - _uncertain(text, stop)
        if sure > shown:
            yield text[shown:sure]
            shown = sure
    if len(text) > shown:
        yield text[shown:]


def _uncertain(text: str, stop: Sequence[str]) -> int:
    """Characters at the end that the next tokens may change, or make part of a stop string."""
    broken = len(text) - len(text.rstrip("\ufffd"))
    whole = text[: len(text) - broken]
    begun = (n for one in stop for n in range(len(one) - 1, 0, -1) if whole.endswith(one[:n]))
    return broken + max(begun, default=0)

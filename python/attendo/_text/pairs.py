"""Words and their neighbours: what a Word2Vec model is trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_WORD = -1


def skip_gram_pairs(
    sequences: Iterable[Any], window: int = 5, *, pad_id: int | None = None, seed: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each word with each of its neighbours.

    Parameters
    ----------
    sequences : iterable of sequences of int, or array_like of int, shape (B, L)
        Ids of words, a text each: a word is no neighbour of one in another text.
    window : int
        How many words before and how many behind are neighbours, 1 or more.
    pad_id : int, optional
        An id to leave out.
    seed : int, optional
        Draws the window of each word from 1 to ``window``, as the authors' program does, so that nearer
        neighbours come up more often. Without it every window is whole.

    Returns
    -------
    words, neighbours : ndarray of int64, shape (P,)
        In the order of the texts.

    Raises
    ------
    ValueError
        When window is below 1, an id is negative, or a text is not one sequence of ids.
    TypeError
        When ids or window are not integers.

    References
    ----------
    Mikolov et al. 2013, "Efficient estimation of word representations in vector space", §3.2. Article 004
    §3.2.

    Examples
    --------
    >>> import attendo as at
    >>> words, neighbours = at.text.skip_gram_pairs([[7, 8, 9], [4, 5]], window=1)
    >>> list(zip(words.tolist(), neighbours.tolist()))
    [(7, 8), (8, 7), (8, 9), (9, 8), (4, 5), (5, 4)]

    Source: python/attendo/_text/pairs.py
    """
    words, neighbours = _neighbours("skip_gram_pairs", sequences, window, pad_id, seed)
    there = neighbours != NO_WORD
    return np.repeat(words, there.sum(axis=1)), neighbours[there]


def cbow_pairs(
    sequences: Iterable[Any], window: int = 5, *, pad_id: int | None = None, seed: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All neighbours of each word, and the word between them.

    Parameters
    ----------
    sequences : iterable of sequences of int, or array_like of int, shape (B, L)
        Ids of words, a text each.
    window : int
        How many words before and how many behind are neighbours, 1 or more.
    pad_id : int, optional
        An id to leave out.
    seed : int, optional
        Draws the window of each word from 1 to ``window``. Without it every window is whole.

    Returns
    -------
    neighbours : ndarray of int64, shape (P, 2 window)
        Those before in their order, then those behind; -1 where there is none, which
        :class:`attendo.models.Word2Vec` leaves out. Fewer columns where no text is that long.
    words : ndarray of int64, shape (P,)
        Words without any neighbour are left out.

    Raises
    ------
    ValueError
        When window is below 1, an id is negative, or a text is not one sequence of ids.
    TypeError
        When ids or window are not integers.

    References
    ----------
    Mikolov et al. 2013, "Efficient estimation of word representations in vector space", §3.1. Article 004
    §3.2.

    Examples
    --------
    >>> import attendo as at
    >>> neighbours, words = at.text.cbow_pairs([[7, 8, 9]], window=1)
    >>> neighbours, words
    (array([[-1,  8],
           [ 7,  9],
           [ 8, -1]]), array([7, 8, 9]))

    Source: python/attendo/_text/pairs.py
    """
    words, neighbours = _neighbours("cbow_pairs", sequences, window, pad_id, seed)
    some = (neighbours != NO_WORD).any(axis=1)
    return neighbours[some], words[some]


def _neighbours(
    op: str, sequences: Iterable[Any], window: int, pad_id: int | None, seed: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The words of all texts (N,) and the neighbours of each (N, 2 reach), -1 where there is none."""
    for name, value in (("window", window), ("pad_id", pad_id), ("seed", seed)):
        missing = value is None and name != "window"
        if not missing and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
            raise TypeError(f"{op}: {name} is a {type(value).__name__} but must be an int")
    if window < 1:
        raise ValueError(f"{op}: window is {window} but must be 1 or more")
    texts = [_ids(op, i, text) for i, text in enumerate(sequences)]
    if pad_id is not None:
        texts = [text[text != pad_id] for text in texts]
    longest = max((len(text) for text in texts), default=0)
    window = min(int(window), 2**62)
    reach = min(window, max(0, longest - 1))  # beyond it there is no word, however wide the window
    words = np.concatenate([np.zeros(0, np.int64), *texts])
    of_text = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    own = np.full(len(words), window)
    if seed is not None:
        own = np.random.default_rng(seed).integers(1, window, len(words), endpoint=True)
    neighbours = np.full((len(words), 2 * reach), NO_WORD, np.int64)
    for offset in range(1, reach + 1):
        together = of_text[offset:] == of_text[:-offset]
        before, behind = together & (own[offset:] >= offset), together & (own[:-offset] >= offset)
        neighbours[offset:, reach - offset] = np.where(before, words[:-offset], NO_WORD)
        neighbours[:-offset, reach + offset - 1] = np.where(behind, words[offset:], NO_WORD)
    return words, neighbours


def _ids(op: str, i: int, text: Any) -> NDArray[np.int64]:
    ids = np.asarray(text)
    if ids.ndim != 1:
        raise ValueError(f"{op}: sequences[{i}] has shape {ids.shape} but must be one sequence of ids")
    if not ids.size:
        return np.zeros(0, np.int64)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{op}: sequences[{i}] has dtype {ids.dtype} but must be of integers")
    if ids.min() < 0:
        raise ValueError(f"{op}: sequences[{i}] holds {ids.min()} but ids must be 0 or more")
    if ids.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{op}: sequences[{i}] holds {ids.max()} but ids must be below 2^63")
    return ids.astype(np.int64)

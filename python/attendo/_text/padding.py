"""Sequences of unequal lengths as one array, and pairs of inputs and targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

Side = Literal["pre", "post"]


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: Side = "pre",
    truncating: Side = "pre",
    value: float | str = 0,
) -> NDArray[Any]:
    """One array of sequences of unequal lengths: the short are padded, the long are cut.

    Parameters
    ----------
    sequences : iterable of sequences
        Of numbers, or of arrays of one shape.
    maxlen : int, optional
        Length of the result, 0 or more; that of the longest when not given.
    dtype : dtype
        Of the result.
    padding : {"pre", "post"}
        Where padding goes: before the beginning of a short sequence, as in Keras, or behind its end.
        "post" is what attendo's masks fit: ``masks.lengths`` and the ``lengths`` of LSTM and GRU count from
        the beginning, and causal attention does not look at padding behind the end.
    truncating : {"pre", "post"}
        What is cut off a long sequence: its beginning, as in Keras, or its end.
    value : number
        Of the padding.

    Returns
    -------
    ndarray, shape (B, maxlen, ...)

    Raises
    ------
    ValueError
        When a sequence is none, shapes of entries differ, maxlen is negative, or padding or truncating is
        neither.

    References
    ----------
    ``keras.utils.pad_sequences``, whose results these are (but for maxlen=0, which there cuts nothing).
    Article 004 §5.3.1.

    Examples
    --------
    >>> import attendo as at
    >>> at.text.pad_sequences([[1], [2, 3], [4, 5, 6]])
    array([[0, 0, 1],
           [0, 2, 3],
           [4, 5, 6]], dtype=int32)
    >>> at.text.pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2, padding="post", truncating="post")
    array([[1, 0],
           [2, 3],
           [4, 5]], dtype=int32)

    Source: python/attendo/_text/padding.py
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} is {side!r} but must be 'pre' or 'post'")
    rows: list[Sequence[Any]] = []
    for i, row in enumerate(sequences):
        if isinstance(row, (str, bytes)) or not hasattr(row, "__len__"):
            raise ValueError(
                f"pad_sequences: sequences[{i}] is a {type(row).__name__} but must be a sequence"
            )
        rows.append(row)
    longest = max((len(row) for row in rows), default=0)
    length = longest if maxlen is None else int(maxlen)
    if length < 0:
        raise ValueError(f"pad_sequences: maxlen is {maxlen} but must be 0 or more")
    entry = next((np.asarray(row).shape[1:] for row in rows if len(row)), ())
    out = np.full((len(rows), length, *entry), value, dtype=dtype)
    for i, row in enumerate(rows):
        begin = max(0, len(row) - length) if truncating == "pre" else 0
        kept = np.asarray(row[begin : begin + length])
        if not len(kept):
            continue
        if kept.shape[1:] != entry:
            raise ValueError(
                f"pad_sequences: entries of sequences[{i}] have shape {kept.shape[1:]}, those before {entry}"
            )
        place = slice(length - len(kept), None) if padding == "pre" else slice(len(kept))
        out[i, place] = kept.astype(out.dtype)
    return out


def next_token_pairs(ids: ArrayLike) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """Inputs and targets of a language model: all tokens but the last, and for each the one after it.

    No loss shifts labels by itself; this is where it is seen.

    Parameters
    ----------
    ids : array_like of int, shape (..., L)
        L is 1 or more.

    Returns
    -------
    inputs, targets : ndarray, each of shape (..., L - 1)

    Raises
    ------
    ValueError
        When ids has no axis, or a last axis of length 0.
    TypeError
        When ids are not integers.

    Examples
    --------
    >>> import attendo as at
    >>> inputs, targets = at.text.next_token_pairs([[7, 8, 9, 2]])
    >>> inputs, targets
    (array([[7, 8, 9]]), array([[8, 9, 2]]))

    Source: python/attendo/_text/padding.py
    """
    array = np.asarray(ids)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"next_token_pairs: ids has shape {array.shape} but must be (..., L), L 1 or more")
    if array.dtype.kind not in "iu":
        raise TypeError(f"next_token_pairs: ids has dtype {array.dtype} but must be of integers")
    return array[..., :-1].copy(), array[..., 1:].copy()

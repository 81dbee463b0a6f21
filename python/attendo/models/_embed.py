"""Texts as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._core import TextEncoder

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._typing import FloatArray

    Texts = Sequence[str] | Sequence[ArrayLike] | ArrayLike


_CHUNK = 1024  # texts that the tokenizer gets at a time


def embed(
    self: TextEncoder,
    texts: Texts,
    *,
    pooling: Literal["mean", "first", "pooler"] | None = None,
    normalize: bool | None = None,
    batch_size: int = 32,
) -> FloatArray:
    """Each text as one vector.

    Parameters
    ----------
    texts : list of str, list of lists of int, or array_like of int, shape (N, L)
        Texts go through ``model.tokenizer`` and are cut at the longest length that the model (or the
        checkpoint) has; ids are taken as they are, all of them real.
    pooling : {"mean", "first", "pooler"}, optional
        The mean of a text's tokens, its first token, or what the pooler makes of that. When not given, what
        the checkpoint says (``model.sentence_config``, from the files of sentence-transformers), or the mean.
    normalize : bool, optional
        Make the length of every vector 1, so that dot products are cosines; a vector of zeros stays. When not
        given, what the checkpoint says, or True.
    batch_size : int
        Texts at a time. They are sorted by length first, so that a batch holds little padding.

    Returns
    -------
    ndarray, shape (N, d)
        In the order given; what a text becomes does not depend on the others.

    Raises
    ------
    ValueError
        When there are texts but no tokenizer, an id is not of the vocabulary, a row of ids is longer than
        the model's longest, pooling is none of its words or wants a pooler that is not there, or
        batch_size is below 1.
    TypeError
        When texts are neither, or one str.

    Notes
    -----
    The model runs in evaluation mode and without gradients, whatever its mode is; that is kept.

    References
    ----------
    Reimers and Gurevych 2019, "Sentence-BERT", §3.

    Examples
    --------
    >>> import attendo as at
    >>> model = at.models.TextEncoder(100, 16, 2, 2, max_len=8, seed=0)
    >>> vectors = model.embed([[5, 17, 42], [5, 17], [5, 17, 42]])
    >>> vectors.shape, round(float(vectors[0] @ vectors[2]), 6)
    ((3, 16), 1.0)

    Source: python/attendo/models/_embed.py
    """
    said = getattr(self, "sentence_config", {})
    if pooling is None:
        if "refused" in said:
            raise ValueError(f"embed: {said['refused']}, which attendo has no way to compute: give pooling=")
        pooling = said.get("pooling", "mean")
    normalize = said.get("normalize", True) if normalize is None else normalize
    if pooling not in ("mean", "first", "pooler"):
        raise ValueError(f"embed: pooling is {pooling!r} but must be 'mean', 'first' or 'pooler'")
    config = self.config
    if pooling == "pooler" and "pooler" not in config:
        raise ValueError("embed: pooling is 'pooler' but the model has none (pooler=)")
    size = index(batch_size)
    if size < 1:
        raise ValueError(f"embed: batch_size is {size} but must be 1 or more")
    rows = _ids_of(self, texts)
    out = np.empty((len(rows), config["d_model"]), config["dtype"])
    lengths = np.array([len(row) for row in rows], np.int64)
    order = np.argsort(-lengths, kind="stable")  # the longest first: too long fails at once
    for begin in range(0, len(rows), size):
        batch = order[begin : begin + size]
        out[batch] = _vectors(self, [rows[i] for i in batch], lengths[batch], pooling)
    if normalize:
        norms = np.sqrt(np.sum(np.square(out), axis=1, keepdims=True))
        out /= np.where(norms > 0, norms, 1)
    return out


def _ids_of(model: Any, texts: Any) -> list[Any]:
    """A row of ids for each text."""
    if isinstance(texts, str):
        raise TypeError("embed: texts is a str but must be a list of them")
    if not hasattr(texts, "__iter__"):
        raise TypeError(f"embed: texts is a {type(texts).__name__} but must be a list of texts or of ids")
    texts, rows = list(texts), []
    if texts and all(isinstance(text, str) for text in texts):
        tokenizer = getattr(model, "tokenizer", None)
        if tokenizer is None:
            raise ValueError("embed: texts need a tokenizer: set model.tokenizer, or give ids")
        config = model.config
        room = config["max_len"] - (config["pad_id"] + 1 if "pad_id" in config else 0)
        room = min(room, getattr(model, "sentence_config", {}).get("max_length", room))
        for begin in range(0, len(texts), _CHUNK):
            ids, mask = tokenizer.encode_batch(texts[begin : begin + _CHUNK], max_length=room)
            rows += [row[real] for row, real in zip(ids, mask, strict=True)]
        return rows
    for i, text in enumerate(texts):
        row = np.asarray(text)
        if row.size == 0 and row.ndim == 1:
            row = row.astype(np.int64)
        if row.ndim != 1 or row.dtype.kind not in "iu":
            raise TypeError(f"embed: texts holds, at {i}, neither a str nor a row of integers")
        rows.append(row)
    return rows


def _vectors(model: TextEncoder, rows: list[Any], lengths: Any, pooling: str) -> Any:
    longest = int(lengths.max(initial=0))
    if pooling != "mean" and lengths.min(initial=1) == 0:
        raise ValueError(f"embed: pooling is {pooling!r} but a text has no tokens")
    mask = np.arange(longest) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(rows)
    if (pad := model.config.get("pad_id")) is not None:
        ids[~mask] = pad
    hidden = model._states(ids, mask, pooling == "pooler")  # zeros at padding
    if pooling == "pooler":
        return hidden
    return hidden[:, 0] if pooling == "first" else hidden.sum(axis=1) / np.maximum(lengths, 1)[:, None]


TextEncoder.embed = embed  # type: ignore[attr-defined]

"""BLEU and chrF of a corpus, as sacrebleu computes them (Papineni et al. 2002; Popović 2015; Post 2018)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np

from .._lazy import require
from ._pairs import whole


class TextScore(float):
    """A score from 0 to 100, with what makes it comparable.

    Attributes
    ----------
    signature : str
        sacrebleu's: version, tokenization and all else that the score depends on.
    text : str
        The score in sacrebleu's words, with the precision of each order and the brevity penalty.
    """

    signature: str
    text: str

    def __new__(cls, value: float, signature: str, text: str) -> TextScore:
        out = super().__new__(cls, value)
        out.signature, out.text = signature, text
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        return TextScore, (float(self), self.signature, self.text)


def _is_ids(entry: Any) -> bool:
    if isinstance(entry, np.ndarray):
        return entry.ndim == 1 and entry.dtype.kind in "iu"
    return isinstance(entry, (list, tuple)) and all(isinstance(i, (int, np.integer)) for i in entry)


def _entry(call: str, name: str, entry: Any, skipped: Collection[int], end: int | None) -> tuple[str, bool]:
    """A text, and whether it was ids; these are words then."""
    if isinstance(entry, str):
        return entry, False
    if not _is_ids(entry):
        raise TypeError(f"{call}: {name} is {entry!r:.60} but must be a str or a row of ids")
    ids = [int(i) for i in entry]
    if end in ids:
        ids = ids[: ids.index(end)]
    return " ".join(str(i) for i in ids if i not in skipped), True


def _corpus(
    call: str, prediction: Any, reference: Any, skipped: Collection[int], end: int | None
) -> tuple[list[str], list[list[str | None]], bool]:
    """Texts, the streams of references as sacrebleu takes them, and whether these are ids."""
    for name, given in (("prediction", prediction), ("reference", reference)):
        if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
            raise TypeError(f"{call}: {name} is a {type(given).__name__} but must be a list of texts")
    if len(prediction) != len(reference):
        raise ValueError(
            f"{call}: prediction has {len(prediction)} texts but reference has {len(reference)} entries: it "
            "must have one text, or a list of texts, for each"
        )
    if not len(prediction):
        raise ValueError(f"{call}: prediction is empty")
    texts = [_entry(call, f"prediction[{i}]", p, skipped, end) for i, p in enumerate(prediction)]
    rows = []
    for i, given in enumerate(reference):
        several = given if not isinstance(given, str) and not _is_ids(given) else [given]
        if not hasattr(several, "__len__") or not len(several):
            raise TypeError(f"{call}: reference[{i}] is {given!r:.60} but must be a text or a list of texts")
        rows.append([_entry(call, f"reference[{i}]", r, skipped, end) for r in several])
    kinds = {ids for _, ids in texts} | {ids for row in rows for _, ids in row}
    if len(kinds) > 1:
        raise TypeError(f"{call}: some of the texts are strings and some are ids")
    most = max(len(row) for row in rows)
    streams: list[list[str | None]] = [[r[k][0] if k < len(r) else None for r in rows] for k in range(most)]
    return [text for text, _ in texts], streams, kinds.pop()


def bleu(
    prediction: Sequence[Any],
    reference: Sequence[Any],
    *,
    tokenize: Literal["13a", "intl", "zh", "char", "none"] | None = None,
    lowercase: bool = False,
    max_order: int = 4,
    smooth: Literal["exp", "floor", "add-k", "none"] = "exp",
    ignore_ids: Collection[int] = (),
    end_id: int | None = None,
) -> TextScore:
    r"""BLEU of a corpus: how many n-grams of the predictions stand in the references.

    Parameters
    ----------
    prediction : sequence of str, or of rows of ids
        Texts, not cut into words: sacrebleu does that. Or ids, which are the words then.
    reference : sequence of the same, or of lists of them
        For each prediction a reference, or a list of several. (sacrebleu itself takes the transpose.)
    tokenize : {"13a", "intl", "zh", "char", "none"}, optional
        How texts are cut into words: "13a", that of WMT, when not given. "zh" for Chinese.
    lowercase : bool
        Upper and lower case are one.
    max_order : int
        The longest n-grams, 1 or more.
    smooth : {"exp", "floor", "add-k", "none"}
        What is done about orders of which nothing fits.
    ignore_ids : collection of int
        Ids that are left out: padding, and what begins a row.
    end_id : int, optional
        With ids: a row ends before it.

    Returns
    -------
    TextScore
        A float from 0 to 100, with ``signature`` and ``text``.

    Raises
    ------
    ValueError
        When there is nothing, or not as many references as predictions.
    TypeError
        When an entry is neither text nor ids, or both occur.
    ImportError
        When sacrebleu is not installed: ``pip install "attendo[learn]"``.

    Notes
    -----
    .. math::

        100\, \min(1, e^{1 - r / c})\, \Bigl(\prod_{n=1}^{4} p_n\Bigr)^{1/4}

    with :math:`p_n` the share of n-grams that fit, each as often as in a reference at most, c and r the
    lengths of predictions and references, all over the corpus: it is no mean of the BLEU of sentences. Of a
    corpus without n-grams of some order, all its texts being shorter, it is 0: lower max_order there.

    References
    ----------
    Papineni et al. 2002, "BLEU"; Post 2018, "A Call for Clarity in Reporting BLEU Scores".

    Examples
    --------
    >>> import attendo as at
    >>> score = at.metrics.bleu(["the cat sat on the mat"], [["the cat sat on a mat", "a cat is on a mat"]])
    >>> round(score, 2)
    53.73
    >>> score = at.metrics.bleu([[1, 5, 6, 7, 8, 2, 0]], [[5, 6, 7, 8]], ignore_ids=[0, 1], end_id=2)
    >>> round(score, 2)
    100.0

    Source: python/attendo/metrics/translation.py
    """
    texts, streams, ids = _corpus("bleu", prediction, reference, ignore_ids, end_id)
    known: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "tokenize": (tokenize, (None, "13a", "intl", "zh", "char", "none")),
        "smooth": (smooth, ("exp", "floor", "add-k", "none")),
    }
    for name, (value, words) in known.items():
        if value not in words:
            raise ValueError(f"bleu: {name} is {value!r} but must be one of {words}")
    max_order = whole("bleu", "max_order", max_order, 1)
    if ids and tokenize is not None:
        raise ValueError("bleu: tokenize is for texts, and these are ids")
    if not ids and (len(ignore_ids) or end_id is not None):
        raise ValueError("bleu: ignore_ids and end_id are for ids, and these are texts")
    metric = require("sacrebleu.metrics", "learn").BLEU(
        tokenize="none" if ids else tokenize or "13a",
        lowercase=lowercase,
        max_ngram_order=max_order,
        smooth_method=smooth,
        force=True,
    )
    return _score(metric, texts, streams)


def chrf(
    prediction: Sequence[str],
    reference: Sequence[Any],
    *,
    char_order: int = 6,
    word_order: int = 0,
    beta: float = 2,
    lowercase: bool = False,
) -> TextScore:
    r"""chrF of a corpus: F-score of the n-grams of characters, which asks for no words.

    Parameters
    ----------
    prediction : sequence of str
    reference : sequence of str or of lists of str
        For each prediction a reference, or a list of several.
    char_order : int
        The longest n-grams of characters.
    word_order : int
        And of words: 0 is chrF, 2 is chrF++.
    beta : float
        Recall counts beta times as much as precision.
    lowercase : bool
        Upper and lower case are one.

    Returns
    -------
    TextScore
        A float from 0 to 100, with ``signature`` and ``text``.

    Raises
    ------
    ValueError, TypeError, ImportError
        As :func:`bleu`; ids are refused: decode them first.

    Notes
    -----
    .. math:: 100\, (1 + \beta^2) \frac{P R}{\beta^2 P + R}

    References
    ----------
    Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; 2017 for chrF++.

    Examples
    --------
    >>> import attendo as at
    >>> round(at.metrics.chrf(["the cat sat"], ["the cat sits"]), 1)
    61.0

    Source: python/attendo/metrics/translation.py
    """
    texts, streams, ids = _corpus("chrf", prediction, reference, (), None)
    char_order = whole("chrf", "char_order", char_order, 1)
    word_order = whole("chrf", "word_order", word_order, 0)
    if ids:
        raise TypeError("chrf: prediction is ids but must be texts: n-grams are of characters")
    metric = require("sacrebleu.metrics", "learn").CHRF(
        char_order=char_order, word_order=word_order, beta=beta, lowercase=lowercase
    )
    return _score(metric, texts, streams)


def _score(metric: Any, texts: list[str], streams: list[list[str | None]]) -> TextScore:
    result = metric.corpus_score(texts, streams)
    return TextScore(result.score, str(metric.get_signature()), str(result))

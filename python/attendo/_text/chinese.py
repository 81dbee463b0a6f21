"""Words of a language that writes none apart."""

from __future__ import annotations

import functools
from typing import Any

from .._lazy import require


@functools.cache
def _jieba() -> Any:
    """jieba's tokenizer, read from its dictionary.

    Left alone, jieba keeps what it has read in the folder of temporary files that all users share, and trusts
    what it finds there. Here that folder is one of our own, gone after the reading.
    """
    import logging
    import tempfile
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jieba's own code, in newer Pythons
        jieba = require("jieba", "chinese")
    logging.getLogger("jieba").setLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.tmp_dir = folder
        tokenizer.initialize()
    return tokenizer


def segment(text: str, lang: str = "zh") -> list[str]:
    """Words of a text in a language that writes none apart: Chinese.

    Parameters
    ----------
    text : str
    lang : {"zh"}
        The language.

    Returns
    -------
    list of str
        What stands between words, such as a comma, is one too; white space is left out. For a
        :class:`Tokenizer` as it is, or joined by spaces.

    Raises
    ------
    TypeError
        When text is no str.
    ValueError
        When lang is another.
    ImportError
        When jieba is not installed: ``pip install "attendo[chinese]"``.

    References
    ----------
    jieba: words of a dictionary, of all ways to cut the likeliest; what is in none by a hidden Markov model.
    Article 004 §5.3.1, whose Chinese sentences are otherwise one word each.

    Examples
    --------
    .. code-block:: python

        at.text.segment("我爱北京天安门")  # ['我', '爱', '北京', '天安门']

    Source: python/attendo/_text/chinese.py
    """
    if not isinstance(text, str):
        raise TypeError(f"segment: text is a {type(text).__name__} but must be a str")
    if lang != "zh":
        raise ValueError(f"segment: lang is {lang!r} but must be 'zh'; other languages are cut at spaces")
    return [word for word in _jieba().cut(text) if not word.isspace()]

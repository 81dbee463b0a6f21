"""Text without what a model of words has no use for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Literal

_JOINERS = "\u200c\u200d"  # between letters of Persian and Indic words they tell words apart
_APOSTROPHES = "'\u2019"


def clean_text(
    text: str,
    *,
    lower: bool = False,
    punctuation: Literal["space", "remove", "keep"] = "space",
    form: Literal["NFC", "NFKC", "NFD", "NFKD"] | None = "NFC",
    stop_words: Collection[str] = (),
) -> str:
    """Text without punctuation, symbols, control characters and superfluous white space.

    What a character is, its Unicode category says. Letters, digits and the marks on them stay, in every
    script.

    Parameters
    ----------
    text : str
    lower : bool
        Lower-case it.
    punctuation : {"space", "remove", "keep"}
        What takes the place of punctuation and symbols (categories P and S; emoji are symbols): a space,
        nothing, or they themselves. With a space, an apostrophe between two letters stays, as ``'``:
        ``don't`` is one word. With nothing, as in the article, words with only a comma between them grow
        together.
    form : {"NFC", "NFKC", "NFD", "NFKD"}, optional
        The Unicode normal form, so that what looks the same is the same. NFKC also makes ``Ａ１`` of full
        width into ``A1``.
    stop_words : collection of str
        Words to leave out, compared in lower case. Only what stands between spaces is a word: Chinese goes
        through :func:`segment` first.

    Returns
    -------
    str
        White space is single spaces, with none at the ends.

    Raises
    ------
    TypeError
        When text is no str, or stop_words is one.
    ValueError
        When punctuation or form is none of those.

    References
    ----------
    Article 004 §5.3.1, whose ``[^\\w\\s]`` also takes the vowel signs from Hindi words and the accents from
    decomposed letters. Unicode Standard Annex 15 and 44.

    Examples
    --------
    >>> import attendo as at
    >>> at.text.clean_text("  Attention,\\tis all -- you don't need? ", stop_words={"is", "all"})
    "Attention you don't need"
    >>> at.text.clean_text("我爱，北京天安门！")
    '我爱 北京天安门'
    >>> at.text.clean_text("हिन्दी, cafe\\u0301!")
    'हिन्दी café'

    Source: python/attendo/_text/clean.py
    """
    if not isinstance(text, str):
        raise TypeError(f"clean_text: text is a {type(text).__name__} but must be a str")
    if isinstance(stop_words, str):
        raise TypeError("clean_text: stop_words is a str but must be a collection of words")
    if punctuation not in ("space", "remove", "keep"):
        raise ValueError(
            f"clean_text: punctuation is {punctuation!r} but must be 'space', 'remove' or 'keep'"
        )
    if form is not None:
        if form not in ("NFC", "NFKC", "NFD", "NFKD"):
            raise ValueError(f"clean_text: form is {form!r} but must be 'NFC', 'NFKC', 'NFD', 'NFKD' or None")
        text = unicodedata.normalize(form, text)
    if lower:
        text = text.lower()
    if punctuation == "space":
        text = re.sub(rf"(?<=[^\W\d_])[{_APOSTROPHES}](?=[^\W\d_])", "\0", text.replace("\0", " "))
    text = "".join(_kept(character, punctuation) for character in text)
    if punctuation == "space":
        text = text.replace("\0", "'")
    words = text.split()
    if stop_words:
        left_out = {word.lower() for word in stop_words}
        words = [word for word in words if word.lower() not in left_out]
    return " ".join(words)


def _kept(character: str, punctuation: str) -> str:
    """What one character becomes."""
    category = unicodedata.category(character)
    if category[0] in "LMN" or character in _JOINERS:
        return character
    if character == "\0":
        return character if punctuation == "space" else ""
    if category[0] in "PS":
        return {"space": " ", "remove": "", "keep": character}[punctuation]
    # What is left is white space, and what has no picture: controls, formats, surrogates, unassigned.
    return " " if character.isspace() else ""

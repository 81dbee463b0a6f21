"""Words as numbers, in the manner of Keras."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


class Tokenizer:
    """Words, or characters, as numbers: the commonest is 1, the next 2, and so on; 0 is for padding.

    Parameters
    ----------
    num_words : int, optional
        Only the ``num_words - 1`` commonest words have a number, as in Keras: 0 is counted with them, and so
        is ``oov_token``. An embedding of num_words rows holds them all.
    filters : str
        Characters that are taken for `split`: punctuation, but not the apostrophe.
    lower : bool
        Lower-case texts.
    split : str
        Where words end.
    char_level : bool
        Every character is a word; filters and split have no part in it.
    oov_token : str, optional
        The word that stands for all that have no number; it is number 1 itself. Without it they are left out.

    Attributes
    ----------
    word_counts : dict of str to int
        How often each word occurs, in the order of first occurrence.
    word_docs : dict of str to int
        In how many texts.
    word_index : dict of str to int
        The number of **every** word: num_words is only applied when texts are turned to numbers.
    index_word : dict of int to str
    document_count : int
        How many texts there were.

    Raises
    ------
    ValueError
        When num_words is below 1, or split or oov_token is empty.
    TypeError
        When an argument has another type.

    References
    ----------
    ``keras.preprocessing.text.Tokenizer``, whose numbers these are. (One difference: an oov_token that occurs
    in the texts stays number 1, where Keras moves it.) Article 004 §5.3.1, which gives it the length of a
    sentence for num_words and so keeps four words.

    Examples
    --------
    >>> import attendo as at
    >>> tokenizer = at.text.Tokenizer(oov_token="<oov>")
    >>> tokenizer.fit_on_texts(["The cat sat.", "The dog sat on the cat!"])
    >>> tokenizer.word_index
    {'<oov>': 1, 'the': 2, 'cat': 3, 'sat': 4, 'dog': 5, 'on': 6}
    >>> tokenizer.texts_to_sequences(["the cow sat"])
    [[2, 1, 4]]

    The trap of num_words: 4 are 0, the oov_token and two words.

    >>> tokenizer.num_words = 4
    >>> tokenizer.texts_to_sequences(["the cat sat"])
    [[2, 3, 1]]

    Source: python/attendo/_text/words.py
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
    ) -> None:
        given: dict[str, Any] = {"filters": filters, "split": split, "oov_token": oov_token}
        for name, value in given.items():
            if not isinstance(value, str) and not (name == "oov_token" and value is None):
                raise TypeError(f"Tokenizer: {name} is a {type(value).__name__} but must be a str")
        if num_words is not None:
            num_words = index(num_words)
            if num_words < 1:
                raise ValueError(f"Tokenizer: num_words is {num_words} but must be 1 or more")
        if not split or oov_token == "":
            raise ValueError(f"Tokenizer: {'oov_token' if split else 'split'} is empty")
        self.num_words = num_words
        self.filters = filters
        self.lower = bool(lower)
        self.split = split
        self.char_level = bool(char_level)
        self.oov_token = oov_token
        self.document_count = 0
        self.word_counts: Counter[str] = Counter()
        self.word_docs: Counter[str] = Counter()
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def _words(self, text: Any, call: str) -> list[str]:
        """The words of a text; a list is words already."""
        if not isinstance(text, str):
            words: list[Any] = list(text) if isinstance(text, (list, tuple)) else [None]
            if not all(isinstance(word, str) for word in words):
                raise TypeError(f"{call}: a text is {text!r:.80} but must be a str or a list of words")
            return [word.lower() for word in words] if self.lower else words
        if self.lower:
            text = text.lower()
        if self.char_level:
            return list(text)
        text = text.translate({ord(character): self.split for character in self.filters})
        return [word for word in text.split(self.split) if word]

    def fit_on_texts(self, texts: Iterable[str | Sequence[str]]) -> None:
        """Count the words of texts, besides those of earlier calls, and number them anew.

        Parameters
        ----------
        texts : iterable of str or of lists of words

        Raises
        ------
        TypeError
            When texts is one str, or a text is something else.
        """
        if isinstance(texts, str):
            raise TypeError("fit_on_texts: texts is a str but must be a list of them")
        for text in texts:
            words = self._words(text, "fit_on_texts")
            self.document_count += 1
            self.word_counts.update(words)
            self.word_docs.update(set(words))
        # sorted keeps the order of first occurrence between words that are equally common.
        ranked = sorted(self.word_counts, key=lambda word: -self.word_counts[word])
        words = [word for word in ranked if word != self.oov_token]
        self._number(words if self.oov_token is None else [self.oov_token, *words])

    def _number(self, words: list[str]) -> None:
        self.word_index = {word: number for number, word in enumerate(words, 1)}
        self.index_word = dict(enumerate(words, 1))

    def texts_to_sequences(self, texts: Iterable[str | Sequence[str]]) -> list[list[int]]:
        """Numbers of the words of each text; a word without one is left out, or is the oov_token's.

        Parameters
        ----------
        texts : iterable of str or of lists of words

        Returns
        -------
        list of lists of int
        """
        if isinstance(texts, str):
            raise TypeError("texts_to_sequences: texts is a str but must be a list of them")
        unknown = None if self.oov_token is None else self.word_index.get(self.oov_token, 1)
        out = []
        for text in texts:
            numbers = (self.word_index.get(word) for word in self._words(text, "texts_to_sequences"))
            kept = (number if number is not None and self._counts(number) else unknown for number in numbers)
            out.append([number for number in kept if number is not None])
        return out

    def _counts(self, number: int) -> bool:
        return self.num_words is None or number < self.num_words

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """Words of the numbers in each sequence, with spaces between them.

        Parameters
        ----------
        sequences : iterable of sequences of int
            A number that no word has, such as the 0 of padding, is left out, or is the oov_token, as in
            Keras.

        Returns
        -------
        list of str
        """
        out = []
        for sequence in sequences:
            words = (self.index_word.get(int(n)) if self._counts(int(n)) else None for n in sequence)
            kept = (self.oov_token if word is None else word for word in words)
            out.append(" ".join(word for word in kept if word is not None))
        return out

    def to_json(self) -> str:
        """All of it as JSON, in the form of Keras: its ``tokenizer_from_json`` reads it too."""
        numbered = {self.word_index[w]: n for w, n in self.word_docs.items() if w in self.word_index}
        config = {
            "num_words": self.num_words,
            "filters": self.filters,
            "lower": self.lower,
            "split": self.split,
            "char_level": self.char_level,
            "oov_token": self.oov_token,
            "document_count": self.document_count,
            "word_counts": json.dumps(self.word_counts),
            "word_docs": json.dumps(self.word_docs),
            "index_docs": json.dumps(numbered),
            "index_word": json.dumps(self.index_word),
            "word_index": json.dumps(self.word_index),
        }
        return json.dumps({"class_name": "Tokenizer", "config": config})

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The Tokenizer that :meth:`to_json`, or that of Keras, wrote.

        Raises
        ------
        ValueError
            When the text is not that.
        """
        try:
            outer = json.loads(text)
            config = dict(outer["config"])
            counts, docs, numbers = (
                json.loads(config[k]) for k in ("word_counts", "word_docs", "word_index")
            )
            options = ("num_words", "filters", "lower", "split", "char_level", "oov_token")
            out = cls(**{name: config[name] for name in options})
            out.document_count = _whole(config["document_count"])
            out.word_counts = Counter({str(word): _whole(n) for word, n in counts.items()})
            out.word_docs = Counter({str(word): _whole(n) for word, n in docs.items()})
            out.word_index = {str(word): _whole(n) for word, n in numbers.items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"from_json: this is not the JSON of a Tokenizer: {error!r}") from None
        out.index_word = {number: word for word, number in out.word_index.items()}
        return out


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value

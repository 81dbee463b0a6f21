"""Pieces of words as numbers: a thin layer over Hugging Face's `tokenizers`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .._files import written_whole
from .batch import Batches, Encoded

if TYPE_CHECKING:
    from .._typing import PathLike

EXTRA = "tokenizers"


class SubwordTokenizer(Batches):
    """Pieces of words as numbers: trained on texts, or read from the files of a checkpoint.

    Build one with :meth:`train`, :meth:`from_file` or :meth:`from_folder`.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        What does the work; it stays at hand as ``tokenizer.backend``.
    pad_token : str, optional
        The token of padding.

    Attributes
    ----------
    pad_id : int
        The id of padding: that of pad_token, or 0 where the vocabulary has none (GPT-2's): the mask tells
        padding from tokens.

    Examples
    --------
    .. code-block:: python

        tokenizer = at.text.SubwordTokenizer.train(texts, "bpe", vocab_size=8000)
        ids, mask = tokenizer.encode_batch(["a text", "and a longer one"])   # (2, L) int64, (2, L) bool
        tokenizer.decode(ids[0])
        tokenizer.save("tokenizer.json")

    Source: python/attendo/_text/subword.py
    """

    def __init__(self, tokenizer: Any, pad_token: str | None = None) -> None:
        # What a file says of cutting and padding would change what encode gives.
        tokenizer.no_truncation()
        padding = tokenizer.padding
        tokenizer.no_padding()
        self.backend = tokenizer
        self.pad_token = pad_token or (padding or {}).get("pad_token")
        known = None if self.pad_token is None else self.token_to_id(self.pad_token)
        self.pad_id = 0 if known is None else known
        self._lock = threading.Lock()

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: Literal["bpe", "wordpiece", "unigram"] = "bpe",
        *,
        vocab_size: int = 8000,
        pad_token: str = "<pad>",
        unk_token: str = "<unk>",
        special_tokens: Sequence[str] = ("<s>", "</s>"),
        min_frequency: int = 2,
        lower: bool = False,
    ) -> SubwordTokenizer:
        """Find the pieces that texts are made of.

        Parameters
        ----------
        texts : iterable of str
            Read once.
        kind : {"bpe", "wordpiece", "unigram"}
            Byte-level pair encoding as GPT-2's, which can write any text; word pieces as BERT's; or the
            unigram model of SentencePiece.
        vocab_size : int
            The most pieces, all tokens counted; byte pair encoding needs 256 and the tokens.
        pad_token, unk_token : str
            The tokens of padding, number 0, and of what no piece fits, number 1.
        special_tokens : sequence of str
            Tokens besides, from number 2 on. They are never cut.
        min_frequency : int
            How often a pair must occur to be merged (not used by unigram).
        lower : bool
            Lower-case texts.

        Returns
        -------
        SubwordTokenizer

        Raises
        ------
        ValueError
            When kind is none of those, a token stands twice, or vocab_size has no room.
        TypeError
            When texts is one str, or holds something else.
        ImportError
            When `tokenizers` is not installed: ``pip install "attendo[tokenizers]"``.
        """
        from .subword_files import untrained

        specials = [pad_token, unk_token, *special_tokens]
        if len(set(specials)) != len(specials) or not all(specials):
            raise ValueError(f"train: the tokens {specials} must differ, and none be empty")
        least = len(specials) + (256 if kind == "bpe" else 1)
        if vocab_size < least:
            raise ValueError(f"train: vocab_size is {vocab_size} but must be {least} or more for {kind!r}")
        if isinstance(texts, str):
            raise TypeError("train: texts is a str but must be a list of them")
        tokenizer, trainer = untrained(kind, vocab_size, specials, unk_token, min_frequency, lower)
        tokenizer.train_from_iterator(_checked(texts), trainer=trainer)
        return cls(tokenizer, pad_token)

    @classmethod
    def from_file(cls, path: PathLike) -> SubwordTokenizer:
        """Read a tokenizer.json.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        ValueError
            When it is no tokenizer.json.
        ImportError
            When `tokenizers` is not installed.
        """
        from .subword_files import read_tokenizer_json

        path = Path(path)
        return cls(read_tokenizer_json(path.parent, path.name))

    @classmethod
    def from_folder(cls, folder: PathLike) -> SubwordTokenizer:
        """Read tokenizer.json; or vocab.json and merges.txt (GPT-2, RoBERTa), or vocab.txt (BERT).

        Raises
        ------
        FileNotFoundError
            When the folder has none of them.
        ValueError
            When a file is damaged, or tokenizer_config.json names a class that needs a tokenizer.json.
        ImportError
            When `tokenizers` is not installed.
        """
        from .subword_files import read_folder

        return cls(*read_folder(Path(folder)))

    def save(self, path: PathLike) -> None:
        """Write a tokenizer.json: to the file, or into the folder, of that path."""
        path = Path(path)
        if path.is_dir():
            path = path / "tokenizer.json"
        with written_whole(path) as file:
            file.write(self.backend.to_str(pretty=True).encode())

    @property
    def vocab_size(self) -> int:
        """How many ids there are, those of tokens counted."""
        size: int = self.backend.get_vocab_size(with_added_tokens=True)
        return size

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"SubwordTokenizer({type(self.backend.model).__name__}, vocab_size={self.vocab_size})"

    def token_to_id(self, token: str) -> int | None:
        """The id of a token or piece, or None."""
        number: int | None = self.backend.token_to_id(token)
        return number

    def id_to_token(self, number: int) -> str | None:
        """The token or piece of an id, or None."""
        token: str | None = self.backend.id_to_token(number) if 0 <= number < 2**32 else None
        return token

    def _encoded(self, texts: Sequence[Any], special_tokens: bool, max_length: int | None) -> list[Encoded]:
        try:
            with self._lock:  # how to cut is a state of the backend
                if max_length is not None:
                    self.backend.enable_truncation(max_length)
                try:
                    found = self.backend.encode_batch(texts, add_special_tokens=special_tokens)
                finally:
                    self.backend.no_truncation()
        except (KeyboardInterrupt, MemoryError):
            raise
        except (
            BaseException
        ) as error:  # the library raises plain Exceptions, and its panics are no Exceptions
            raise ValueError(f"encode: tokenizers says: {error}") from None
        return [(one.ids, one.type_ids) for one in found]

    def _decoded(self, ids: list[list[int]], skip_special_tokens: bool) -> list[str]:
        texts: list[str] = self.backend.decode_batch(ids, skip_special_tokens=skip_special_tokens)
        return texts


def _checked(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"train: a text is a {type(text).__name__} but must be a str")
        yield text

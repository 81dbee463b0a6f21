"""Marian's tokenizers: two SentencePiece models, for source and target, over one vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import file_in, read_json, written_whole
from .._lazy import require
from .batch import Batches, Encoded

if TYPE_CHECKING:
    from .._typing import PathLike

FILES = ("source.spm", "target.spm", "vocab.json")
_LIMIT = 64 << 20


class MarianTokenizer(Batches):
    """Pieces of words for a translation model of the Marian family (Helsinki-NLP/opus-mt).

    Read one with :meth:`from_folder`. ``encode`` is for texts to translate, ``decode`` for translations, and
    ``target`` is the tokenizer whose ``encode`` is for translations, to train with. A text for a model of
    several target languages begins with its code, ``>>fra<< text``. Behind every text ``</s>`` is put.

    Attributes
    ----------
    pad_id, eos_id, unk_id : int
    target : MarianTokenizer

    Source: python/attendo/_text/marian.py
    """

    def __init__(self, models: tuple[bytes, bytes], vocab: dict[str, int], into_target: bool = False) -> None:
        library = require("sentencepiece", "sentencepiece")
        self._models = models
        self._vocab = vocab
        self._pieces = {number: piece for piece, number in vocab.items()}
        self._source, self._target = (library.SentencePieceProcessor(model_proto=m) for m in models)
        self._into_target = into_target
        self.unk_id, self.eos_id = vocab["<unk>"], vocab["</s>"]
        self.pad_id = vocab.get("<pad>", 0)

    @classmethod
    def from_folder(cls, folder: PathLike) -> MarianTokenizer:
        """Read source.spm, target.spm and vocab.json.

        Raises
        ------
        FileNotFoundError
            When one of them is not there.
        ValueError
            When one is damaged.
        ImportError
            When `sentencepiece` is not installed: ``pip install "attendo[sentencepiece]"``.
        """
        folder = Path(folder)
        require("sentencepiece", "sentencepiece")
        vocab = read_json("from_folder", folder, "vocab.json", _LIMIT)
        where = f"from_folder: {str(folder / 'vocab.json')!r}"
        numbers = [
            n for n in vocab.values() if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31
        ]
        if len(numbers) != len(vocab):
            raise ValueError(f"{where}: every piece must have a number of its own")
        if "<unk>" not in vocab or "</s>" not in vocab:
            raise ValueError(f"{where} has no '<unk>' or no '</s>'")
        models = []
        for name in FILES[:2]:
            path = file_in("from_folder", folder, name)
            if path.stat().st_size > _LIMIT:
                raise ValueError(f"from_folder: {str(path)!r} is longer than {_LIMIT} bytes")
            models.append(path.read_bytes())
            if not models[-1]:  # which the library takes for no model at all
                raise ValueError(f"from_folder: {str(path)!r} is empty")
        try:
            return cls((models[0], models[1]), vocab)
        except RuntimeError as error:
            raise ValueError(
                f"from_folder: {str(folder)!r}: source.spm or target.spm is no SentencePiece model: {error}"
            ) from None

    @property
    def target(self) -> MarianTokenizer:
        """The tokenizer of translations."""
        return MarianTokenizer(self._models, self._vocab, into_target=True)

    def save(self, path: PathLike) -> None:
        """Write source.spm, target.spm and vocab.json into a folder."""
        import json

        vocab = json.dumps(self._vocab, ensure_ascii=False, indent=2).encode()
        for name, data in zip(FILES, (*self._models, vocab), strict=True):
            with written_whole(Path(path) / name) as file:
                file.write(data)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._pieces) + 1

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"MarianTokenizer(vocab_size={self.vocab_size})"

    def token_to_id(self, token: str) -> int | None:
        """The id of a token or piece, or None."""
        return self._vocab.get(token)

    def id_to_token(self, number: int) -> str | None:
        """The token or piece of an id, or None."""
        return self._pieces.get(number)

    def _ids(self, text: str, special_tokens: bool, max_length: int | None) -> list[int]:
        code = text.find("<<") + 2 if text.startswith(">>") and "<<" in text else 0
        model = self._target if self._into_target else self._source
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("encode: a text holds what is no character: half of a surrogate pair")
        pieces = ([text[:code]] if code else []) + model.encode(text[code:], out_type=str)
        ids = [self._vocab.get(piece, self.unk_id) for piece in pieces]
        end = [self.eos_id] if special_tokens else []
        return (ids if max_length is None else ids[: max(0, max_length - len(end))]) + end

    def _encoded(self, texts: Sequence[Any], special_tokens: bool, max_length: int | None) -> list[Encoded]:
        if any(isinstance(text, tuple) for text in texts):
            raise ValueError("encode: Marian's models take one text, no pair")
        rows = [self._ids(text, special_tokens, max_length) for text in texts]
        return [(row, [0] * len(row)) for row in rows]

    def _decoded(self, ids: list[list[int]], skip_special_tokens: bool) -> list[str]:
        special = {self.unk_id, self.eos_id, self.pad_id}
        out = []
        for row in ids:
            text, pieces = "", []
            for number in row:
                if number not in special:
                    pieces.append(self._pieces.get(number, "<unk>"))
                elif not skip_special_tokens:
                    text += self._target.decode_pieces(pieces) + self._pieces[number] + " "
                    pieces = []
            out.append((text + self._target.decode_pieces(pieces)).replace("\u2581", " ").strip())
        return out

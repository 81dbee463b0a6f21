"""Characters to numbers and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


class Vocabulary:
    """A fixed set of characters, numbered from 4; 0 to 3 are pad, begin, end and unknown.

    >>> vocabulary = Vocabulary("-0123456789")
    >>> vocabulary.encode(["2026", "1"], eos=True).tolist()
    [[7, 5, 7, 11, 2], [6, 2, 0, 0, 0]]
    >>> vocabulary.decode([[7, 5, 7, 11, 2]])
    ['2026']
    """

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = "".join(sorted(set("".join(characters))))
        if "\0" in self.characters:
            raise ValueError("characters: the null character cannot be part of a vocabulary")
        self._code_points = np.array([ord(character) for character in self.characters], dtype=np.int64)

    def __len__(self) -> int:
        return len(SPECIAL) + len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"

    def encode(
        self, texts: Sequence[str], length: int | None = None, *, bos: bool = False, eos: bool = False
    ) -> Ids:
        """Ids (texts, length), padded with 0; `length` counts bos and eos, default the longest."""
        if isinstance(texts, str):
            raise TypeError("texts: give a list of strings, not one string")
        longest = max(map(len, texts), default=0)
        needed = longest + bos + eos
        length = needed if length is None else length
        if length < needed:
            raise ValueError(f"length: the longest text needs {needed} places but length is {length}")
        ids = np.full((len(texts), length), PAD, dtype=np.int64)
        if not longest:
            code_points = np.zeros((len(texts), 0), dtype=np.int64)
        else:
            # A NumPy string array is a table of code points; a null character would look like its padding.
            kept = [text.replace("\0", "\ufffd") for text in texts]
            table = np.array(kept, dtype=f"U{longest}").view(np.uint32)
            code_points = table.reshape(len(texts), longest).astype(np.int64)
        written = code_points != 0
        body = ids[:, int(bos) : int(bos) + longest]
        body[written] = self._lookup(code_points[written])
        if bos:
            ids[:, 0] = BOS
        if eos:
            ids[np.arange(len(texts)), written.sum(axis=1) + int(bos)] = EOS
        return ids

    def _lookup(self, code_points: Ids) -> Ids:
        if not len(self._code_points):
            return np.full(code_points.shape, UNK, dtype=np.int64)
        place = np.searchsorted(self._code_points, code_points)
        place = np.minimum(place, len(self._code_points) - 1)
        return np.where(self._code_points[place] == code_points, place + len(SPECIAL), UNK)

    def decode(self, ids: npt.ArrayLike) -> list[str]:
        """One string a row, up to its end mark, without begin and pad marks; the unknown character is �."""
        rows = np.asarray(ids)
        if rows.ndim != 2:
            raise ValueError(f"ids: must have shape (texts, length), not {rows.shape}")
        texts = []
        for row in rows.tolist():
            text = ""
            for token in row:
                if token == EOS:
                    break
                if token not in (PAD, BOS):
                    text += self._character(token)
            texts.append(text)
        return texts

    def _character(self, token: int) -> str:
        place = token - len(SPECIAL)
        if token == UNK:
            return "\ufffd"
        if not 0 <= place < len(self.characters):
            raise ValueError(f"ids: {token} is not below the vocabulary's size, {len(self)}")
        return self.characters[place]

    def unknown(self, text: str) -> list[str]:
        """The characters of the text that the vocabulary lacks, each once, in order."""
        return [character for character in dict.fromkeys(text) if character not in self.characters]

    def to_json(self) -> dict[str, Any]:
        return {"characters": self.characters}

    @classmethod
    def from_json(cls, value: object) -> Vocabulary:
        characters = value.get("characters") if isinstance(value, dict) else None
        if not isinstance(characters, str):
            raise ValueError('vocabulary: must be an object with the string "characters"')
        return cls(characters)

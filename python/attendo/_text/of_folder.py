"""The tokenizer that lies in a checkpoint's folder, whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from .batch import Batches
from .marian import FILES, MarianTokenizer
from .subword import SubwordTokenizer


class MissingTokenizer:
    """Stands where a tokenizer would, had its library been installed: any use says so. It is false."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def _raise(self) -> NoReturn:
        raise ImportError(self._reason)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"MissingTokenizer({self._reason!r})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._raise()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._raise()


def tokenizer_of(folder: Path) -> Batches | MissingTokenizer | None:
    """The tokenizer in a folder; None where it has none, one that says so where its library is missing."""
    names = {path.name for path in folder.iterdir()}
    try:
        if {"tokenizer.json", "vocab.txt"} & names:
            return SubwordTokenizer.from_folder(folder)
        if set(FILES) <= names:
            return MarianTokenizer.from_folder(folder)
        if {"vocab.json", "merges.txt"} <= names:
            return SubwordTokenizer.from_folder(folder)
    except ImportError as error:
        return MissingTokenizer(str(error))
    return None

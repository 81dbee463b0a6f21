"""A trained model with its two vocabularies: text in, ISO date out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .forms import fold
from .vocabulary import BOS, EOS, Vocabulary

MODEL_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.json"
_ISO_LENGTH = len("2026-11-20")


class DateTranslator:
    """Reads a written date and writes it in ISO form, character by character."""

    def __init__(
        self, model: Any, source: Vocabulary, target: Vocabulary, source_length: int, languages: Sequence[str]
    ) -> None:
        self.model = model
        self.source = source
        self.target = target
        self.source_length = source_length
        self.languages = tuple(languages)

    def __call__(self, texts: Sequence[str], batch_size: int = 250) -> list[str]:
        """The model's answer to each text; what it has never seen it answers too, so look at `unknown`.

        Raises
        ------
        ValueError
            A text is empty, or longer than any the model was made for.
        """
        if isinstance(texts, str):
            raise TypeError("texts: give a list of strings, not one string")
        folded = [fold(text) for text in texts]
        for text in folded:
            if not text:
                raise ValueError("the text is empty")
            if len(text) > self.source_length:
                raise ValueError(
                    f"the text has {len(text)} characters; the model reads at most {self.source_length}"
                )
        answers: list[str] = []
        for start in range(0, len(folded), batch_size):
            src = self.source.encode(folded[start : start + batch_size], self.source_length)
            ids = self.model.translate(src, bos_id=BOS, eos_id=EOS, max_len=_ISO_LENGTH + 2)
            answers += self.target.decode(ids)
        return answers

    def unknown(self, text: str) -> list[str]:
        """The characters of the text that occur in no written form; all look alike to the model."""
        return self.source.unknown(fold(text))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write model.safetensors and vocabulary.json into the folder, which is made if need be."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(str(folder / MODEL_FILE))
        description = {
            "task": "dates",
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "source_length": self.source_length,
            "languages": list(self.languages),
        }
        content = json.dumps(description, ensure_ascii=False, indent=2) + "\n"
        (folder / VOCABULARY_FILE).write_text(content, encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> DateTranslator:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            The folder holds no saved demo.
        ValueError
            vocabulary.json is not one that `save` wrote.
        """
        folder = Path(folder)
        for name in (MODEL_FILE, VOCABULARY_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"no {name} in {str(folder)!r}: train a model first with `attendo demo`"
                )
        path = folder / VOCABULARY_FILE
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            source, target = (Vocabulary.from_json(description[side]) for side in ("source", "target"))
            length, languages = description["source_length"], description["languages"]
            if type(length) is not int or length < 1 or not all(isinstance(name, str) for name in languages):
                raise ValueError("source_length must be a positive integer and languages a list of strings")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a vocabulary of the demo ({error})") from error
        import attendo as at

        return cls(at.load(str(folder / MODEL_FILE)), source, target, length, languages)

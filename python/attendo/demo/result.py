"""What a run of the demo found out: all that its printout and its report show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .attention_row import AttentionRow

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """One held-out date: what was written, what it means, what the model said."""

    language: str
    text: str
    truth: str
    answer: str

    @property
    def right(self) -> bool:
        return self.answer == self.truth


@dataclass(frozen=True)
class Example:
    """An answer with the cross-attention that led to it; the last thing written is the end mark."""

    answer: Answer
    read: str  # the characters as the model reads them, (S,)
    written: str  # the characters it produced, (T - 1,)
    weights: Floats  # (layers, H, T, S)


@dataclass(frozen=True)
class DemoResult:
    """Everything a run found; `exact_match` is the figure it is judged by."""

    settings: Mapping[str, object]  # name -> value, in the order they are shown
    info: Mapping[str, object]  # at.info()
    names: Mapping[str, str]  # "en-GB" -> "English (United Kingdom)"
    step_loss: Floats  # (steps,)
    validation_loss: Floats  # one an epoch
    seconds: Mapping[str, float]  # data, training, evaluation, total
    answers: list[Answer]
    examples: list[Example]
    row_example: Example
    row: AttentionRow
    folder: Path = field(default=Path("."))
    quick: bool = False  # too short to learn anything

    @property
    def exact_match(self) -> float:
        """The share of held-out dates translated without one wrong character."""
        return sum(answer.right for answer in self.answers) / max(1, len(self.answers))

    @property
    def mistakes(self) -> list[Answer]:
        return [answer for answer in self.answers if not answer.right]

    @property
    def steps_per_second(self) -> float:
        return len(self.step_loss) / max(self.seconds["training"], 1e-9)

    def by_language(self) -> dict[str, tuple[int, int]]:
        """language -> (right, all), in the order of `names`."""
        counts = {language: [0, 0] for language in self.names}
        for answer in self.answers:
            counts[answer.language][0] += answer.right
            counts[answer.language][1] += 1
        return {language: (right, total) for language, (right, total) in counts.items() if total}

"""The data of the demo: dates as people write them, and the same dates in ISO form.

The languages and forms are in forms.py. Training and held-out pairs are split by day: a day that is held out
occurs in no training pair, in no language and in no form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .forms import FIRST_YEAR, LANGUAGES, LAST_YEAR, Days, Form, ambiguous, compiled, fold, with_language
from .vocabulary import Vocabulary

# Beside the ambiguous strings, which must name their language, some other dates in figures do: 25/12/1999 is
# clear, but who gives the language need not know that.
NAMED_SHARE = 0.1
ISO_CHARACTERS = "-0123456789"


@dataclass(frozen=True)
class Pairs:
    """Texts beside their dates; item i of every list belongs together."""

    texts: list[str]  # as written: "Friday, 20 November 2026", "en-US: 3/4/1999"
    isos: list[str]  # "2026-11-20"
    languages: list[str]  # "en-GB"
    forms: list[str]  # the CLDR pattern: "EEEE, d MMMM y"

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class DateData:
    train: Pairs
    validation: Pairs
    test: Pairs
    source: Vocabulary
    target: Vocabulary
    source_length: int  # characters in the longest text that any form writes


def all_days() -> Days:
    return np.arange(f"{FIRST_YEAR}-01-01", f"{LAST_YEAR + 1}-01-01", dtype="datetime64[D]")


def split_days(rng: np.random.Generator, *, held_out: float = 0.1) -> tuple[Days, Days, Days]:
    """All days in three disjoint parts: training, validation, test; the last two share `held_out`."""
    if not 0 < held_out < 1:
        raise ValueError(f"held_out: must be between 0 and 1, not {held_out}")
    days = rng.permutation(all_days())
    each = max(1, round(len(days) * held_out / 2))
    return np.sort(days[2 * each :]), np.sort(days[:each]), np.sort(days[each : 2 * each])


def draw(days: Days, count: int, rng: np.random.Generator, languages: Sequence[str] = LANGUAGES) -> Pairs:
    """`count` different (text, iso, language): language, one of its forms and day, each drawn uniformly."""
    if count < 0:
        raise ValueError(f"count: must not be negative, got {count}")
    ambiguity = ambiguous(tuple(languages))
    rows_of = [
        np.flatnonzero([form.language == language for form in ambiguity.forms]) for language in languages
    ]
    nameable = np.array([form.may_name_language for form in ambiguity.forms])
    found: dict[tuple[str, str, str], str] = {}
    while len(found) < count:
        before = len(found)
        wanted = count - before
        number = wanted + wanted // 8 + 64
        language = rng.integers(len(languages), size=number)
        share = rng.random(number)
        form = np.empty(number, dtype=np.int64)
        for index, rows in enumerate(rows_of):
            chosen = language == index
            form[chosen] = rows[(share[chosen] * len(rows)).astype(np.int64)]
        day = days[rng.integers(len(days), size=number)]
        named = rng.random(number) < NAMED_SHARE
        named = (named & nameable[form]) | ambiguity.of(form, day)
        for key, pattern in _write(ambiguity.forms, form, day, named):
            if len(found) == count:
                break
            found.setdefault(key, pattern)
        if len(found) - before <= wanted // 100:
            raise ValueError(
                f"count: {count} different pairs asked, but {len(days)} days give few more than {len(found)}"
            )
    texts, isos, spoken = zip(*found, strict=True) if found else ((), (), ())
    return Pairs(list(texts), list(isos), list(spoken), list(found.values()))


def _write(
    forms: Sequence[Form], form: npt.NDArray[np.int64], day: Days, named: npt.NDArray[np.bool_]
) -> list[tuple[tuple[str, str, str], str]]:
    """((text, iso, language), pattern) of every row, written form by form, in the order of the rows."""
    isos = np.datetime_as_string(day, unit="D").tolist()
    written: list[tuple[tuple[str, str, str], str]] = [(("", "", ""), "")] * len(isos)
    order = np.argsort(form, kind="stable")
    starts = np.searchsorted(form[order], np.arange(len(forms) + 1))
    for index, one in enumerate(forms):
        rows = order[starts[index] : starts[index + 1]]
        for row, text in zip(rows.tolist(), one.write(day[rows]), strict=True):
            if named[row]:
                text = with_language(one.language, text)
            written[row] = ((text, isos[row], one.language), one.pattern)
    return written


@lru_cache(maxsize=4)
def source_vocabulary(languages: tuple[str, ...] = LANGUAGES) -> tuple[Vocabulary, int]:
    """Every character that the forms can write, and the length of the longest text; both after `fold`."""
    characters: set[str] = set()
    longest = 0
    for form in ambiguous(languages).forms:
        length = len(with_language(form.language, "")) if form.may_name_language else 0
        for _, table in compiled(form, True):
            characters.update(*table)
            length += max(map(len, table))
        longest = max(longest, length)
    characters.update(*(fold(with_language(language, "0")) + " " for language in languages))
    return Vocabulary(characters), longest


def build(
    n_train: int, n_validation: int, n_test: int, seed: int = 0, languages: tuple[str, ...] = LANGUAGES
) -> DateData:
    """The whole data set. The same seed gives the same pairs."""
    rng = np.random.default_rng(seed)
    train_days, validation_days, test_days = split_days(rng)
    source, source_length = source_vocabulary(languages)
    return DateData(
        train=draw(train_days, n_train, rng, languages),
        validation=draw(validation_days, n_validation, rng, languages),
        test=draw(test_days, n_test, rng, languages),
        source=source,
        target=Vocabulary(ISO_CHARACTERS),
        source_length=source_length,
    )

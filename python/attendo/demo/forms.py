"""How people write a date: the patterns of CLDR for fourteen locales, and a fast writer for each.

A form is one pattern in one language: ``("en-GB", "EEEE, d MMMM y")`` writes "Friday, 20 November 2026".
Patterns, month names and weekday names come from CLDR through Babel. `Form.write` gives what
``babel.dates.format_date`` gives, some twenty times faster, because every field of a pattern becomes a
table indexed by year, month, day or weekday.

Some strings mean two dates: 3/4/1999 is the third of April in Spanish and the fourth of March in American
English. `ambiguous` finds them from the forms themselves, with no list of suspects; such a string carries its
language: "es: 3/4/1999".
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import repeat
from types import ModuleType

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.datetime64]

LANGUAGES = ("en-US", "en-GB", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "ja", "zh", "ko")
FIRST_YEAR, LAST_YEAR = 1900, 2099

# CLDR's root locale writes y-MM-dd, and so do many people in every language.
_ROOT = "y-MM-dd"

# CLDR lists dates that stand alone. Inside a sentence a word comes before them, and the day may be an
# ordinal.
_IN_A_SENTENCE = {
    "en-US": ("'on' MMMM d, y", "'on' EEEE, MMMM d, y"),
    "en-GB": ("'on' d MMMM y", "'on' EEEE, d MMMM y"),
    "de": ("'am' d. MMMM y", "'den' d. MMMM y"),
    "fr": ("'le' d MMMM y", "'le' EEEE d MMMM y", "'le' dd/MM/y"),
    "es": ("'el' d 'de' MMMM 'de' y", "'el' EEEE, d 'de' MMMM 'de' y"),
    "pt": ("'em' d 'de' MMMM 'de' y",),
    "nl": ("'op' d MMMM y", "'op' EEEE d MMMM y"),
    "pl": ("'dnia' d MMMM y", "d MMMM y 'r.'"),
}
_ORDINAL = {
    "en-US": ("MMMM d, y", "EEEE, MMMM d, y", "MMM d, y"),
    "en-GB": ("d MMMM y", "EEEE, d MMMM y", "d 'of' MMMM y", "'the' d 'of' MMMM y"),
    "fr": ("d MMMM y", "'le' d MMMM y", "EEEE d MMMM y"),
}

_FOLD = str.maketrans(
    {"ı": "i", "\u0307": None, "\u200e": None, "\u200f": None}
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
)


def fold(text: str) -> str:
    """What the model reads: one case, one kind of space and hyphen, compatibility characters resolved (NFKC).

    >>> fold("  Le 3\\u202fMARS １９９９ ")
    'le 3 mars 1999'
    """
    text = unicodedata.normalize("NFKC", text).lower().translate(_FOLD)  # Turkish İ, I and ı become i
    return " ".join(text.split())


def require_babel() -> ModuleType:
    try:
        import babel.dates
    except ImportError as error:
        raise ImportError('dates in many languages need Babel: pip install "attendo[text]"') from error
    return babel.dates  # type: ignore[no-any-return, unused-ignore]


@dataclass(frozen=True)
class Calendar:
    """The fields of many days at once, each of shape (n,)."""

    year: npt.NDArray[np.int64]
    month: npt.NDArray[np.int64]  # 1 to 12
    day: npt.NDArray[np.int64]  # 1 to 31
    weekday: npt.NDArray[np.int64]  # 0 Monday to 6 Sunday

    @classmethod
    def of(cls, days: Days) -> Calendar:
        days = days.astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        since_1970 = days.astype(np.int64)
        return cls(
            year=days.astype("datetime64[Y]").astype(np.int64) + 1970,
            month=months.astype(np.int64) % 12 + 1,
            day=(days - months).astype(np.int64) + 1,
            weekday=(since_1970 + 3) % 7,  # 1 January 1970 was a Thursday
        )


@dataclass(frozen=True)
class Form:
    """One way to write a date: a CLDR date pattern in one language."""

    language: str
    pattern: str
    ordinal: bool = False

    @property
    def locale(self) -> str:
        return self.language.replace("-", "_")

    @property
    def numeric(self) -> bool:
        """Whether the month is a number; 11월 is a name in CLDR."""
        return all(
            not (field == "month" and not table[1].isdecimal()) for field, table in compiled(self, False)
        )

    @property
    def may_name_language(self) -> bool:
        """Whether the reader must know which number is the month, so that the language may stand before."""
        return self.numeric and not self.pattern.startswith("y")

    @property
    def has_weekday(self) -> bool:
        return any(field == "weekday" for field, _ in compiled(self, False))

    def write(self, days: Days, *, folded: bool = False, weekday: int | None = None) -> list[str]:
        """Write every day; `folded` gives ``fold`` of the same, without the cost of folding each string.

        `weekday` (0 is Monday) stands in for every day's own.
        """
        calendar = Calendar.of(days)
        columns: list[Iterable[str]] = []
        for field, table in compiled(self, folded):
            if field == "text":
                columns.append(repeat(table[0], len(days)))
            elif field == "weekday" and weekday is not None:
                columns.append(repeat(table[weekday], len(days)))
            else:
                columns.append(map(table.__getitem__, _index(calendar, field).tolist()))
        return list(
            map("".join, zip(*columns, strict=False))
        )  # repeat() of a text piece ends with the others


def _index(calendar: Calendar, field: str) -> npt.NDArray[np.int64]:
    if field == "year":
        return calendar.year - FIRST_YEAR
    values: npt.NDArray[np.int64] = getattr(calendar, field)
    return values


@cache
def compiled(form: Form, folded: bool) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The pattern as pieces (field, table): the text of a field is table[value of the field]."""
    pieces: list[tuple[str, tuple[str, ...]]] = []
    for kind, value in require_babel().tokenize_pattern(form.pattern):
        field, table = ("text", (value,)) if kind == "chars" else _table(form, *value)
        pieces.append((field, tuple(map(_fold_piece, table)) if folded else table))
    return tuple(pieces)


def _fold_piece(text: str) -> str:
    """`fold`, but spaces at the ends stay: the piece stands between others."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).lower().translate(_FOLD)


def _table(form: Form, letter: str, width: int) -> tuple[str, tuple[str, ...]]:
    babel_dates = require_babel()
    if letter == "y":
        return "year", tuple(map(str, range(FIRST_YEAR, LAST_YEAR + 1)))
    if letter == "d":
        write: Callable[[int], str] = (
            _ordinal(form.language) if form.ordinal else lambda day: f"{day:0{width}}"
        )
        return "day", ("", *map(write, range(1, 32)))
    if letter in "ML" and width <= 2:
        return "month", ("", *(f"{month:0{width}}" for month in range(1, 13)))
    name_width = "wide" if width == 4 else "abbreviated"
    context = "format" if letter in "ME" else "stand-alone"
    if letter in "ML":
        names = babel_dates.get_month_names(name_width, context, form.locale)
        return "month", ("", *(names[month] for month in range(1, 13)))
    names = babel_dates.get_day_names(name_width, context, form.locale)
    return "weekday", tuple(names[weekday] for weekday in range(7))


def _ordinal(language: str) -> Callable[[int], str]:
    """The day of the month as an ordinal: English 1st, 2nd, 3rd, 4th; French 1er, then 2, 3."""
    if language == "fr":
        return lambda day: "1er" if day == 1 else str(day)

    def english(day: int) -> str:
        suffix = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        return f"{day}{suffix}"

    return english


@cache
def forms_of(language: str) -> tuple[Form, ...]:
    """Every form: CLDR's standard formats and skeletons in all widths, and a few of running sentences."""
    babel_dates = require_babel()
    from babel import Locale

    locale = Locale.parse(language, sep="-")
    given = [
        str(babel_dates.get_date_format(name, locale).pattern) for name in ("full", "long", "medium", "short")
    ]
    given += [str(pattern.pattern) for _, pattern in sorted(locale.datetime_skeletons.items())]
    given.append(_ROOT)
    patterns: dict[str, None] = {}  # a dict keeps the order, and each pattern once
    for pattern in given:
        for variant in _widths(pattern):
            patterns.setdefault(variant)
    for pattern in _IN_A_SENTENCE.get(language, ()):
        patterns.setdefault(pattern)
    forms = [Form(language, pattern) for pattern in patterns]
    forms += [Form(language, pattern, ordinal=True) for pattern in _ORDINAL.get(language, ())]
    return _without_twins(forms)


def _widths(pattern: str) -> list[str]:
    """The pattern with its fields at each width people use; [] when it is not a year, a month and a day.

    As CLDR does for a skeleton, an abbreviated name may grow to the full one, and numbers may be padded. A
    two-digit year becomes four digits: 03/04/29 has two centuries.
    """
    babel_dates = require_babel()
    tokens = babel_dates.tokenize_pattern(pattern)
    widths = {
        {"L": "M", "c": "E"}.get(value[0], value[0]): value[1] for kind, value in tokens if kind == "field"
    }
    if not {"y", "M", "d"} <= set(widths) <= {"y", "M", "d", "E"}:
        return []
    weekday_widths = {max(3, widths.get("E", 3)), 4}
    if widths["M"] > 2:  # a named month; the day stays as CLDR has it
        month_and_day = [(month, widths["d"]) for month in sorted({widths["M"], 4})]
    else:
        month_and_day = [(1, 1), (2, 2)]
    variants: dict[str, None] = {}
    for month, day in month_and_day:
        for weekday in sorted(weekday_widths):
            width = {"y": 1, "M": month, "L": month, "d": day, "E": weekday, "c": weekday}
            variant = [
                (kind, (value[0], width[value[0]]) if kind == "field" else value) for kind, value in tokens
            ]
            variants.setdefault(str(babel_dates.untokenize_pattern(variant)))
    return list(variants)


def _without_twins(forms: Sequence[Form]) -> tuple[Form, ...]:
    """Drop a form that writes every date as an earlier one does: Korean "MMM" and "MMMM" are both "11월"."""
    year = np.arange("2000-01-01", "2001-01-01", dtype="datetime64[D]")
    first = {tuple(form.write(year)): form for form in reversed(forms)}
    return tuple(form for form in forms if first[tuple(form.write(year))] is form)


def all_forms(languages: Sequence[str] = LANGUAGES) -> tuple[Form, ...]:
    return tuple(form for language in languages for form in forms_of(language))


def may_name(language: str) -> bool:
    """Whether some form of the language may be written with its name before it."""
    return any(form.may_name_language for form in forms_of(language))


# -- strings that mean two dates -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ambiguity:
    """Which (form, day) write a string that another form, in any language, writes for another day.

    The weekday does not count: Friday, 03/04/2026 could only be 3 April, but to know that one must have a
    calendar.
    """

    forms: tuple[Form, ...]
    table: npt.NDArray[np.bool_]  # (forms, common or leap year, 366 days of the year)

    def of(self, form: int | npt.NDArray[np.int64], days: Days) -> npt.NDArray[np.bool_]:
        years = days.astype("datetime64[Y]")
        day_of_year = (days - years.astype("datetime64[D]")).astype(np.int64)
        found: npt.NDArray[np.bool_] = self.table[form, _is_leap(years), day_of_year]
        return found


def _is_leap(years: Days) -> npt.NDArray[np.int64]:
    start = years.astype("datetime64[D]").astype(np.int64)
    return (years + 1).astype("datetime64[D]").astype(np.int64) - start - 365


def _on_any_weekday(form: Form, days: Days) -> list[list[str]]:
    """What the form writes, folded, with each weekday in turn; once for a form without one."""
    return [
        form.write(days, folded=True, weekday=weekday)
        for weekday in (range(7) if form.has_weekday else [None])
    ]


@lru_cache(maxsize=4)
def ambiguous(languages: tuple[str, ...] = LANGUAGES) -> Ambiguity:
    """Write every day of a common and of a leap year in every form, and see which strings occur for two days.

    All forms write the year with its four digits, so strings of two years never meet; and since the weekday
    does not count, two years of one length give the same table.
    """
    forms = all_forms(languages)
    table = np.zeros((len(forms), 2, 366), dtype=np.bool_)
    for year in np.array(["2001", "2000"], dtype="datetime64[Y]"):
        days = np.arange(year, year + 1, dtype="datetime64[D]")
        written = [_on_any_weekday(form, days) for form in forms]
        day_of: dict[str, int] = {}
        twice: set[str] = set()
        for variants in written:
            for texts in variants:
                for day, text in enumerate(texts):
                    if day_of.setdefault(text, day) != day:
                        twice.add(text)
        leap = len(days) - 365
        for row, variants in enumerate(written):
            for texts in variants:
                table[row, leap, : len(days)] |= [text in twice for text in texts]
    return Ambiguity(forms, table)


def language_name(language: str) -> str:
    """ "English (United Kingdom)" for "en-GB"."""
    require_babel()
    from babel import Locale

    return Locale.parse(language, sep="-").english_name or language


def with_language(language: str, text: str) -> str:
    return f"{language}: {text}"


def split_language(text: str, languages: Sequence[str] = LANGUAGES) -> tuple[str | None, str]:
    """Undo `with_language`: ("en-GB", "3/4/1999") for "en-GB: 3/4/1999"; (None, text) if none is known."""
    prefix, colon, rest = text.partition(":")
    known = find_language(prefix, languages) if colon else None
    return (known, rest.strip()) if known else (None, text)


def find_language(name: str, languages: Sequence[str] = LANGUAGES) -> str | None:
    """The language meant by "en_us", "EN-US" or "fr-FR" (here "fr"); None when there is none."""
    name = name.strip().replace("_", "-").lower()
    by_name = {language.lower(): language for language in languages}
    return by_name.get(name) or by_name.get(name.partition("-")[0])


def readings(
    text: str, languages: Sequence[str] = LANGUAGES, *, check_weekday: bool = True
) -> dict[datetime.date, list[str]]:
    """Every date the text stands for, with the languages that write it so; {} when no form writes this text.

    Without `check_weekday` also dates that fall on another weekday than the text says.

    >>> readings("le 3 mars 1999")
    {datetime.date(1999, 3, 3): ['fr']}
    """
    folded = fold(text)
    found: dict[datetime.date, list[str]] = {}
    for year in sorted(set(re.findall(r"(?<![0-9])[0-9]{4}(?![0-9])", folded))):
        if not FIRST_YEAR <= int(year) <= LAST_YEAR:
            continue
        days = np.arange(year, np.datetime64(year, "Y") + 1, dtype="datetime64[D]")
        for form in all_forms(languages):
            variants = [form.write(days, folded=True)] if check_weekday else _on_any_weekday(form, days)
            for day, *written in zip(days, *variants, strict=True):
                if folded in written:
                    named = found.setdefault(day.item(), [])
                    if form.language not in named:
                        named.append(form.language)
    return found

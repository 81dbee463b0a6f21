"""The written forms: what Babel gives, given faster; and no string that means two dates."""

from __future__ import annotations

import builtins
import datetime
import re

import numpy as np
import pytest
from babel import Locale
from babel.dates import format_date, get_date_format

from attendo.demo import forms
from attendo.demo.forms import LANGUAGES, Form, all_forms, ambiguous, fold, readings

FORMS = all_forms()
ALL_DAYS = np.arange("1900-01-01", "2100-01-01", dtype="datetime64[D]")


def days_of(*dates: str) -> np.ndarray:
    return np.array(dates, dtype="datetime64[D]")


def written_as(form: Form, day: str) -> str:
    return form.write(days_of(day))[0]


def test_there_are_fourteen_locales_of_at_least_ten_languages():
    assert len(LANGUAGES) == 14
    assert len({language.partition("-")[0] for language in LANGUAGES}) >= 10
    assert "zh" in LANGUAGES


@pytest.mark.parametrize(
    "form", [form for form in FORMS if not form.ordinal], ids=lambda f: f"{f.language} {f.pattern}"
)
def test_the_fast_writer_equals_babel(form):
    days = np.random.default_rng(len(form.pattern)).choice(ALL_DAYS, 24)
    days = np.concatenate([days, days_of("1900-01-01", "2000-02-29", "2099-12-31")])
    assert form.write(days) == [format_date(day, form.pattern, locale=form.locale) for day in days.tolist()]


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f"{f.language} {f.pattern} {f.ordinal}")
def test_folded_writing_equals_folding_what_is_written(form):
    days = np.random.default_rng(1).choice(ALL_DAYS, 40)
    assert form.write(days, folded=True) == [fold(text) for text in form.write(days)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_standard_formats_of_cldr_are_among_the_forms(language):
    locale = Locale.parse(language, sep="-")
    day = datetime.date(2026, 11, 5)
    written = {written_as(form, "2026-11-05") for form in FORMS if form.language == language}
    for name in ("full", "long", "medium"):
        assert format_date(day, name, locale=locale) in written
    short = re.sub("y+", "y", get_date_format("short", locale).pattern)  # with four digits of the year
    assert format_date(day, short, locale=locale) in written


def test_every_form_shows_the_four_digits_of_its_year_once():
    days = days_of("1999-03-04", "2026-11-20", "1900-01-01")
    for form in FORMS:
        for text, year in zip(form.write(days), ("1999", "2026", "1900"), strict=True):
            assert re.findall(r"(?<!\d)\d{4}(?!\d)", text) == [year], (form, text)
            assert not re.search(r"\d{5}", text)


def test_ordinals():
    def day(language: str, number: int) -> str:
        form = Form(language, "d MMMM y", ordinal=True)
        return written_as(form, f"2026-01-{number:02}").split()[0]

    assert [day("en-GB", n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "30th", "31st",
    ]  # fmt: skip
    assert [day("fr", n) for n in (1, 2, 21)] == ["1er", "2", "21"]


def test_no_language_has_a_form_twice():
    year = np.arange("2000-01-01", "2001-01-01", dtype="datetime64[D]")
    for language in LANGUAGES:
        written = [tuple(form.write(year)) for form in FORMS if form.language == language]
        assert len(set(written)) == len(written) >= 8


# -- ambiguity


def meanings(years: list[int], *, name_ambiguous: bool) -> dict[str, set[str]]:
    """Every text of the definition, named or not, with every date it stands for."""
    ambiguity = ambiguous()
    found: dict[str, set[str]] = {}
    for year in years:
        days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
        isos = np.datetime_as_string(days).tolist()
        for row, form in enumerate(ambiguity.forms):
            must = ambiguity.of(row, days) if name_ambiguous else np.zeros(len(days), dtype=bool)
            for text, iso, named in zip(form.write(days), isos, must.tolist(), strict=True):
                if not named:
                    found.setdefault(fold(text), set()).add(iso)
                if form.may_name_language:
                    found.setdefault(fold(forms.with_language(form.language, text)), set()).add(iso)
    return found


def test_no_text_of_the_definition_means_two_dates():
    years = np.random.default_rng(7).choice(np.arange(1900, 2100), 3, replace=False).tolist()
    twice = {text: isos for text, isos in meanings(years, name_ambiguous=True).items() if len(isos) > 1}
    assert not twice


@pytest.mark.slow
def test_no_text_of_any_year_means_two_dates():
    for year in range(1900, 2100):
        twice = {text: isos for text, isos in meanings([year], name_ambiguous=True).items() if len(isos) > 1}
        assert not twice


def test_without_the_language_some_would():
    twice = {text for text, isos in meanings([1999], name_ambiguous=False).items() if len(isos) > 1}
    assert {"3/4/1999", "03/04/1999"} <= twice
    assert "13/4/1999" not in twice and "3.4.1999" not in twice


def test_every_ambiguous_form_may_name_its_language():
    ambiguity = ambiguous()
    for row, form in enumerate(ambiguity.forms):
        if ambiguity.table[row].any():
            assert form.may_name_language, form


@pytest.mark.parametrize("year", [1900, 1904, 1999, 2000, 2024, 2099])
def test_the_table_of_a_common_and_a_leap_year_holds_for_every_year(year):
    """`ambiguous` looks at 2001 and 2000; here another year is looked at afresh, with every weekday."""
    ambiguity = ambiguous()
    days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
    written = [[form.write(days, folded=True, weekday=w) for w in range(7)] for form in ambiguity.forms]
    found: dict[str, set[int]] = {}
    for variants in written:
        for texts in variants:
            for day, text in enumerate(texts):
                found.setdefault(text, set()).add(day)
    for row, variants in enumerate(written):
        expected = [any(len(found[text]) > 1 for text in day) for day in zip(*variants, strict=True)]
        assert expected == ambiguity.of(row, days).tolist()


def test_a_weekday_does_not_settle_what_a_number_means():
    ambiguity = ambiguous()
    row = next(
        i
        for i, form in enumerate(ambiguity.forms)
        if (form.language, form.pattern) == ("en-GB", "EEEE, dd/MM/y")
    )
    friday = np.array(["2026-04-03"], dtype="datetime64[D]")  # 4 March 2026 is a Wednesday
    assert ambiguity.forms[row].write(friday) == ["Friday, 03/04/2026"]
    assert ambiguity.of(row, friday).all()
    assert len(readings("Friday, 03/04/2026")) == 1
    assert len(readings("Friday, 03/04/2026", check_weekday=False)) == 2


# -- reading


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("le 3 mars 1999", "1999-03-03"),
        ("LE 3 MARS 1999", "1999-03-03"),
        ("1er janvier 2000", "2000-01-01"),
        ("2026年11月20日星期五", "2026-11-20"),
        ("Friday, 20 November 2026", "2026-11-20"),
        ("November 20th, 2026", "2026-11-20"),
        ("the 20th of November 2026", "2026-11-20"),
        ("20. November 2026", "2026-11-20"),
        ("el 5 de noviembre de 2026", "2026-11-05"),
        ("3 Kasım 2026", "2026-11-03"),
        ("3 KASIM 2026", "2026-11-03"),
        ("20 ноября 2026 г.", "2026-11-20"),
        ("2026년 11월 20일", "2026-11-20"),
        ("２０２６年１１月２０日", "2026-11-20"),
        ("2026-11-20", "2026-11-20"),
    ],
)
def test_readings_of_what_people_write(text, date):
    assert [day.isoformat() for day in readings(text)] == [date]


def test_readings_of_an_ambiguous_text():
    found = readings("03/04/1999")
    assert found[datetime.date(1999, 3, 4)] == ["en-US"]
    assert {"en-GB", "fr", "es", "it", "pt"} <= set(found[datetime.date(1999, 4, 3)])
    assert len(found) == 2


@pytest.mark.parametrize(
    "text", ["", "hello", "1999", "31/02/1999", "3 mars 1899", "3 mars 99", "3 mars 19999", "\0 1999"]
)
def test_no_readings(text):
    assert readings(text) == {}


def test_fold():
    assert fold(" Le\u00a03\u202fMARS\t１９９９\n") == "le 3 mars 1999"
    assert fold("NİSAN") == fold("nisan") == fold("NISAN") == fold("Nısan")
    assert fold("cafe\u0301") == "café"
    assert fold("3\u20114\u20131999") == "3-4-1999"
    for text in ("Ünï 3", "İIıi", "ＡＢ", "\u0130\u0307"):
        assert fold(fold(text)) == fold(text)


def test_language_names():
    assert forms.find_language("EN_us") == "en-US"
    assert forms.find_language("fr-CA") == "fr"
    assert (
        forms.find_language("en") is None
        and forms.find_language("xx") is None
        and forms.find_language("") is None
    )
    assert forms.split_language("en-GB: 3/4/1999") == ("en-GB", "3/4/1999")
    assert forms.split_language("at: 3/4/1999") == (None, "at: 3/4/1999")
    assert forms.language_name("en-GB") == "English (United Kingdom)"


def test_without_babel_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def no_babel(name, *arguments, **options):
        if name.partition(".")[0] == "babel":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_babel)
    with pytest.raises(ImportError, match=r'pip install "attendo\[text\]"'):
        forms.require_babel()

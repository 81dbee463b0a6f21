"""The data set: reproducible, unique, fast, and split by day."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pytest

from attendo.demo import dates
from attendo.demo.dates import build, draw, source_vocabulary, split_days
from attendo.demo.forms import LANGUAGES, fold, readings, split_language


@pytest.fixture(scope="module")
def data():
    return build(20_000, 1_000, 2_800, seed=3)


def test_the_parts_share_no_day(data):
    train, validation, test = (set(part.isos) for part in (data.train, data.validation, data.test))
    assert not train & validation and not train & test and not validation & test
    assert len(test) > 1500 and len(train) > 15_000


def test_split_days_cuts_all_days_in_three():
    train, validation, test = split_days(np.random.default_rng(0), held_out=0.1)
    everything = np.concatenate([train, validation, test])
    assert np.array_equal(np.sort(everything), dates.all_days())
    assert len(everything) == 73_049 == (datetime.date(2100, 1, 1) - datetime.date(1900, 1, 1)).days
    assert len(validation) == len(test) == round(73_049 * 0.05)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="held_out: must be between 0 and 1"):
            split_days(np.random.default_rng(0), held_out=share)


def test_sizes_are_as_asked_and_no_pair_comes_twice(data):
    assert (len(data.train), len(data.validation), len(data.test)) == (20_000, 1_000, 2_800)
    for part in (data.train, data.validation, data.test):
        triples = set(zip(part.texts, part.isos, part.languages, strict=True))
        assert len(triples) == len(part) == len(part.forms)


def test_every_language_has_its_share(data):
    counts = {language: data.train.languages.count(language) for language in LANGUAGES}
    assert min(counts.values()) > 0.9 * 20_000 / len(LANGUAGES)


def test_the_texts_say_what_the_dates_are(data):
    """`readings` writes a whole year in all forms and compares: another way than the data's."""
    test = data.test
    for text, iso, language in list(zip(test.texts, test.isos, test.languages, strict=True))[:120]:
        named, bare = split_language(text)
        found = readings(bare)
        date = datetime.date.fromisoformat(iso)
        assert language in found[date]
        if named is None:
            assert list(found) == [date]
        else:
            assert named == language


def test_one_text_never_has_two_dates(data):
    seen: dict[str, str] = {}
    for part in (data.train, data.validation, data.test):
        for text, iso in zip(part.texts, part.isos, strict=True):
            assert seen.setdefault(fold(text), iso) == iso


def test_ambiguous_texts_name_their_language_and_so_do_some_others(data):
    named = [text for text in data.train.texts if split_language(text)[0]]
    assert any(len(readings(split_language(text)[1])) > 1 for text in named[:50])
    assert any(len(readings(split_language(text)[1])) == 1 for text in named[:50])
    assert 0.02 < len(named) / len(data.train) < 0.2


def test_the_same_seed_gives_the_same_pairs(data):
    again = build(20_000, 1_000, 2_800, seed=3)
    assert again.train == data.train and again.test == data.test
    assert build(200, 10, 10, seed=4).train.texts != build(200, 10, 10, seed=5).train.texts


def test_two_hundred_thousand_pairs_in_seconds():
    build(10, 1, 1)  # the tables of the forms, once
    start = time.perf_counter()
    assert len(build(200_000, 1, 1).train) == 200_000
    assert time.perf_counter() - start < 10  # about 1 s


def test_the_vocabulary_knows_every_character_and_the_length_every_text(data):
    texts = [fold(text) for part in (data.train, data.test) for text in part.texts]
    assert set("".join(texts)) <= set(data.source.characters)
    assert max(map(len, texts)) <= data.source_length < 48
    assert source_vocabulary() == (data.source, data.source_length)
    assert set("".join(data.test.isos)) == set(data.target.characters)


def test_asking_for_more_than_there_is_fails():
    few = np.array(["2000-01-01"], dtype="datetime64[D]")
    assert len(draw(few, 100, np.random.default_rng(0))) == 100
    with pytest.raises(ValueError, match="count: 10000 different pairs asked, but 1 days give"):
        draw(few, 10_000, np.random.default_rng(0))
    with pytest.raises(ValueError, match="count: must not be negative"):
        draw(few, -1, np.random.default_rng(0))
    assert len(draw(few, 0, np.random.default_rng(0))) == 0

"""DateTranslator: what it hands to the model, what it makes of the answer, and its files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attendo.demo.translator import MODEL_FILE, VOCABULARY_FILE, DateTranslator


def test_reads_folded_text_in_batches_and_keeps_the_order(oracle_translator):
    translator = oracle_translator(lambda text: text[-4:] + "-01-02")
    texts = [f"LE 3 MARS {year}" for year in range(1990, 2010)]
    assert translator(texts, batch_size=8) == [f"{year}-01-02" for year in range(1990, 2010)]
    assert translator.model.read[0] == "le 3 mars 1990"
    assert translator.model.batches == [8, 8, 4]
    assert translator([]) == []


def test_what_cannot_be_read(oracle_translator):
    translator = oracle_translator(lambda text: "")
    with pytest.raises(ValueError, match="the text is empty"):
        translator(["3 mars 1999", " \t "])
    with pytest.raises(ValueError, match="the text has 500 characters; the model reads at most"):
        translator(["1" * 500])
    with pytest.raises(TypeError, match="texts: give a list of strings"):
        translator("3 mars 1999")
    assert translator.model.read == []


def test_unknown_characters_are_reported(oracle_translator):
    translator = oracle_translator(lambda text: "1999-03-03")
    assert translator.unknown("3 Mars 1999 ☃ ☃ ∂") == ["☃", "∂"]
    assert translator.unknown("LE 3 MARS １９９９") == []
    assert translator(["☃ 1999"]) == ["1999-03-03"]
    assert translator.model.read == ["\ufffd 1999"]


def test_saved_and_loaded_it_gives_the_same(quick_run):
    translator = DateTranslator.load(quick_run.folder)
    texts = [answer.text for answer in quick_run.answers]
    assert translator(texts) == [answer.answer for answer in quick_run.answers]


def test_saving_makes_the_folder(quick_run, tmp_path):
    translator = DateTranslator.load(quick_run.folder)
    folder = translator.save(tmp_path / "a" / "b")
    assert sorted(path.name for path in folder.iterdir()) == sorted([MODEL_FILE, VOCABULARY_FILE])
    again = DateTranslator.load(folder)
    assert again.source == translator.source and again.target == translator.target
    assert again.languages == translator.languages and again.source_length == translator.source_length
    for name, value in translator.model.state_dict().items():
        assert np.array_equal(np.asarray(again.model.state_dict()[name]), np.asarray(value)), name


def test_no_saved_model(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no model\.safetensors in .*train a model first with `attendo demo`"
    ):
        DateTranslator.load(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no vocabulary\.json"):
        DateTranslator.load(tmp_path)


GOOD = {
    "source": {"characters": "ab"},
    "target": {"characters": "01"},
    "source_length": 9,
    "languages": ["fr"],
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "null",
        *(json.dumps({key: value for key, value in GOOD.items() if key != missing}) for missing in GOOD),
        json.dumps({**GOOD, "source_length": "9"}),
        json.dumps({**GOOD, "source_length": 0}),
        json.dumps({**GOOD, "source_length": True}),
        json.dumps({**GOOD, "languages": 3}),
        json.dumps({**GOOD, "languages": [3]}),
        json.dumps({**GOOD, "source": "ab"}),
    ],
)
def test_a_broken_vocabulary_is_named(tmp_path, content):
    (tmp_path / MODEL_FILE).write_bytes(b"")
    (tmp_path / VOCABULARY_FILE).write_text(content)
    with pytest.raises(ValueError, match=r"vocabulary\.json: not a vocabulary of the demo"):
        DateTranslator.load(tmp_path)

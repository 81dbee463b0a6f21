"""The command: exit codes, one line for a mistake, and what is done about ambiguous dates."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import attendo as at
from attendo import cli
from attendo.demo import run as run_module
from attendo.demo.forms import fold, readings, split_language
from attendo.demo.translator import DateTranslator


def by_the_forms(text: str) -> str:
    """The right answer, as a perfect model would give it."""
    language, bare = split_language(text)
    found = [date for date, languages in readings(bare).items() if language is None or language in languages]
    return found[0].isoformat() if len(found) == 1 else "9999-99-99"


@pytest.fixture
def model(monkeypatch, oracle_translator):
    translator = oracle_translator(by_the_forms)
    monkeypatch.setattr(DateTranslator, "load", lambda folder: translator)
    return translator.model


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


def test_translate(model, capsys):
    assert cli.main(["translate", "le 3 mars 1999"]) == 0
    assert capsys.readouterr() == ("1999-03-03\n", "")
    assert cli.main(["translate", "Friday, 20 November 2026", "2026年11月20日星期五"]) == 0
    assert capsys.readouterr() == ("2026-11-20\n2026-11-20\n", "")


def test_an_ambiguous_date_lists_its_readings(model, capsys):
    assert cli.main(["translate", "03/04/1999"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and one_line(err)
    assert "'03/04/1999' means 2 dates, say which with --language" in err
    assert "1999-03-04 (en-US); 1999-04-03 (en-GB, fr, es, it, pt)" in err
    assert model.read == []


@pytest.mark.parametrize(
    ("arguments", "date"),
    [
        (["03/04/1999", "--language", "en-US"], "1999-03-04"),
        (["03/04/1999", "--language", "en_gb"], "1999-04-03"),
        (["03/04/1999", "--language", "fr-CH"], "1999-04-03"),
        (["en-US: 03/04/1999"], "1999-03-04"),
        (["en-US: 03/04/1999", "--language", "es"], "1999-04-03"),
        (["25/12/1999"], "1999-12-25"),
        (["LE 3 MARS 1999", "--language", "fr"], "1999-03-03"),
    ],
)
def test_the_language_decides(model, capsys, arguments, date):
    assert cli.main(["translate", *arguments]) == 0
    assert capsys.readouterr() == (f"{date}\n", "")


def test_the_model_reads_the_language_only_where_it_matters(model):
    cli.main(["translate", "le 3 mars 1999", "--language", "fr"])
    cli.main(["translate", "3/4/1999", "--language", "fr"])
    assert model.read == ["le 3 mars 1999", "fr: 3/4/1999"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hello"], "'hello' has no year from 1900 to 2099 in four digits"),
        (["3 mars 99"], "has no year"),
        ([""], "has no year"),
        (["3 mars 1850"], "has no year"),
        (["3/4/1999", "--language", "klingon"], "--language: 'klingon' is none of en-US, en-GB"),
        (["3/4/1999", "--language", "en"], "--language: 'en' is none of"),
        (["1999" * 100], "the text has 400 characters"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(model, capsys, arguments, words):
    assert cli.main(["translate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and one_line(err) and err.startswith("attendo translate: ") and words in err


def test_one_bad_text_among_good_ones_prints_no_answer(model, capsys):
    assert cli.main(["translate", "le 3 mars 1999", "3/4/1999"]) == 2
    assert capsys.readouterr().out == ""


def test_notes_about_what_the_model_never_learnt(monkeypatch, capsys, oracle_translator):
    translator = oracle_translator(lambda text: "1999-04-03")
    monkeypatch.setattr(DateTranslator, "load", lambda folder: translator)
    for arguments, words in [
        (["3 ☃ mars 1999"], "the model has never seen ☃"),
        (["3 de mars 1999"], "'3 de mars 1999' is none of the forms the model learnt; check the answer"),
        (["3/4/1999", "--language", "nl"], "is none of the nl forms the model learnt"),
    ]:
        assert cli.main(["translate", *arguments]) == 0
        out, err = capsys.readouterr()
        assert out == "1999-04-03\n" and one_line(err) and words in err


@pytest.mark.parametrize("answer", ["", "1999-13-01", "1999-02-30", "1999-03-0", "19990303"])
def test_an_answer_that_is_no_date_is_not_passed_on(monkeypatch, capsys, oracle_translator, answer):
    translator = oracle_translator(lambda text: answer)
    monkeypatch.setattr(DateTranslator, "load", lambda folder: translator)
    assert cli.main(["translate", "le 3 mars 1999"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "no date found in 'le 3 mars 1999'" in err


# -- where the model is


def test_without_a_model_it_says_how_to_get_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--model", str(tmp_path / "none")]):
        assert cli.main(["translate", "le 3 mars 1999", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and one_line(err) and "train a model first with `attendo demo`" in err


def test_translate_finds_the_last_demo_from_anywhere(monkeypatch, capsys, tmp_path, quick_run):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    cli._remember(quick_run.folder)
    assert cli._last_demo() == quick_run.folder.resolve()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    # Whatever the hardly trained model answers, it is found and asked.
    assert cli.main(["translate", "le 3 mars 1999"]) in (0, 1)
    assert "train a model first" not in capsys.readouterr().err
    (tmp_path / "state" / "attendo" / "last-demo").write_text(str(tmp_path / "gone"))
    assert str(cli._last_demo()) == "attendo-demo"


def test_a_home_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    cli._remember(tmp_path)
    assert str(cli._last_demo()) == "attendo-demo"


# -- demo and info


def test_demo_passes_its_options_on(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    calls = []
    monkeypatch.setattr(run_module, "run", lambda **options: calls.append(options))
    assert cli.main(["demo", "--seed", "3", "--steps", "7", "--out", str(tmp_path / "o"), "--quick"]) == 0
    assert calls == [{"seed": 3, "steps": 7, "out": str(tmp_path / "o"), "quick": True}]
    assert cli.main(["demo"]) == 0
    assert calls[1] == {"seed": 0, "steps": 6000, "out": "attendo-demo", "quick": False}


def test_demo_into_a_bad_folder(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--quick", "--out", str(tmp_path / "file" / "x")]) == 2
    assert one_line(capsys.readouterr().err)


def test_interrupted(monkeypatch, capsys, tmp_path):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(run_module, "run", interrupted)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "\nattendo: interrupted\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["demo", "--steps", "0"],
        ["demo", "--steps", "x"],
        ["demo", "--seed", "-1"],
        ["translate"],
    ],
)
def test_wrong_arguments_exit_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: attendo" in capsys.readouterr().err


def test_info_prints_what_there_is_aligned(capsys):
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert {"version", "isa", "threads", "python", "numpy"} <= {name.rpartition(".")[2] for name in names}
    assert len({re.match(r"\S+\s+", line).end() for line in lines}) == 1
    assert at.info()["version"] in lines[names.index("version")]


def test_nested_facts_are_flattened():
    facts = {"a": 1, "b": {"c": None, "d": {"e": [1, 2]}}, "f": ()}
    assert cli._flat(facts) == [("a", "1"), ("b.c", "not installed"), ("b.d.e", "1 2"), ("f", "none")]


def test_help_needs_nothing_heavy():
    """`attendo --help` imports neither Babel nor the demo."""
    code = (
        "import sys, attendo.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'babel', 'attendo.demo.run', 'attendo.demo.forms', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_python_dash_m():
    done = subprocess.run(
        [sys.executable, "-m", "attendo", "translate", "hello", "--model", "/nonexistent"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and one_line(done.stderr) and done.stdout == ""


def test_the_oracle_of_these_tests_is_right():
    assert by_the_forms(fold("en-US: 3/4/1999")) == "1999-03-04"
    assert by_the_forms(fold("3/4/1999")) == "9999-99-99"

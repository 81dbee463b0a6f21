"""The `attendo` command: demo, translate, info."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .demo.translator import DateTranslator

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_DEFAULT_FOLDER = "attendo-demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code is 0 done, 1 no date found, 2 the caller's mistake, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nattendo: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` for example, has seen enough. Keep Python from flushing into the closed pipe at
        # exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ImportError, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        print(f"attendo {options.command}: {message}", file=sys.stderr)
        return USER_ERROR
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="attendo", description="Attention, from the formula to a trained model."
    )
    from ._info import __version__

    parser.add_argument("--version", action="version", version=f"attendo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    demo = commands.add_parser(
        "demo",
        help="train a Transformer to read dates in 14 locales, and write a report",
        description="Train a Transformer to turn dates as people write them in 14 locales into ISO form. "
        "Writes report.html, model.safetensors and vocabulary.json.",
    )
    demo.add_argument(
        "--seed", type=_at_least(0), default=0, help="of data, parameters and batches (default 0)"
    )
    demo.add_argument("--steps", type=_at_least(1), default=6000, help="batches to train on (default 6000)")
    demo.add_argument(
        "--out",
        metavar="DIR",
        help=f"where to write (default {_DEFAULT_FOLDER}, {_DEFAULT_FOLDER}-quick with --quick)",
    )
    demo.add_argument("--threads", type=_at_least(1), help="how many threads to use (default: all)")
    demo.add_argument("--quick", action="store_true", help="a run of seconds, to see that everything works")
    demo.set_defaults(run=_demo)

    translate = commands.add_parser(
        "translate",
        help="turn a written date into ISO form with the model of the last demo",
        description="Turn written dates into ISO form with the model of the last demo: "
        'attendo translate "le 3 mars 1999"',
    )
    translate.add_argument("text", nargs="+", help="a date; quote it")
    translate.add_argument(
        "--language", metavar="TAG", help="of the date, such as en-US, when its form is ambiguous"
    )
    translate.add_argument("--model", metavar="DIR", help="the folder of a demo (default: of the last one)")
    translate.set_defaults(run=_translate)

    info = commands.add_parser("info", help="print version, instruction set, threads and dependencies")
    info.set_defaults(run=_info)
    return parser


def _at_least(low: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}, not {value}")
        return value

    return number


# -- demo ----------------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> int:
    import attendo as at

    from .demo.run import run

    if options.threads:
        at.set_num_threads(options.threads)
    # A quick run learns nothing: it must not take the place of a trained model.
    out = options.out or (_DEFAULT_FOLDER + "-quick" if options.quick else _DEFAULT_FOLDER)
    run(seed=options.seed, steps=options.steps, out=out, quick=options.quick)
    if not options.quick:
        _remember(Path(out))
    return 0


def _state_file() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "attendo" / "last-demo"


def _remember(folder: Path) -> None:
    """Note where the last demo wrote, so that `translate` finds it from any directory."""
    try:
        path = _state_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(folder.resolve()), encoding="utf-8")
    except (
        OSError,
        RuntimeError,
    ):  # no home, or one that cannot be written: `translate` then looks in ./attendo-demo
        pass


def _last_demo() -> Path:
    try:
        folder = Path(_state_file().read_text(encoding="utf-8"))
        if folder.is_dir():
            return folder
    except (OSError, RuntimeError, ValueError):
        pass
    return Path(_DEFAULT_FOLDER)


# -- translate -----------------------------------------------------------------------------------------------


def _translate(options: argparse.Namespace) -> int:
    from .demo.translator import DateTranslator

    folder = Path(options.model) if options.model else _last_demo()
    translator = DateTranslator.load(folder)
    # All texts are looked at before any is answered: an error leaves no half of an output behind.
    asked = [_question(text, options.language, translator) for text in options.text]
    answers = translator([question for question, _ in asked])
    for _, note in asked:
        if note:
            print(f"attendo translate: note: {note}", file=sys.stderr)
    code = 0
    for text, answer in zip(options.text, answers, strict=True):
        if not _is_date(answer):
            print(
                f"attendo translate: no date found in {text!r}; the model wrote {answer!r}", file=sys.stderr
            )
            code = 1
        else:
            print(answer)
    return code


def _question(text: str, language: str | None, translator: DateTranslator) -> tuple[str, str]:
    """The text as the model should read it, with its language where it matters, and a note to print.

    ValueError when it cannot be told what the text means.
    """
    from .demo.forms import (
        FIRST_YEAR,
        LAST_YEAR,
        find_language,
        fold,
        may_name,
        readings,
        split_language,
        with_language,
    )

    named, bare = split_language(text, translator.languages)
    if language is not None:
        named = find_language(language, translator.languages)
        if named is None:
            raise ValueError(f"--language: {language!r} is none of {', '.join(translator.languages)}")
    written = fold(bare)
    if not any(str(year) in written for year in range(FIRST_YEAR, LAST_YEAR + 1)):
        raise ValueError(f"{text!r} has no year from {FIRST_YEAR} to {LAST_YEAR} in four digits")
    meanings = readings(bare, translator.languages)
    if named is None and len(meanings) > 1:
        listed = "; ".join(f"{date} ({', '.join(languages)})" for date, languages in sorted(meanings.items()))
        raise ValueError(f"{text!r} means {len(meanings)} dates, say which with --language: {listed}")
    # A weekday may settle which date is meant, but the model has no calendar: it is told the language.
    loose = readings(bare, translator.languages, check_weekday=False)
    if named is None and len(meanings) == 1 and len(loose) > 1:
        named = next(iter(meanings.values()))[0]
    note = ""
    unknown = translator.unknown(bare)
    if unknown:
        note = f"the model has never seen {' '.join(unknown)} (in {text!r})"
    elif not any(named is None or named in languages for languages in meanings.values()):
        forms = "forms" if named is None else f"{named} forms"
        note = f"{text!r} is none of the {forms} the model learnt; check the answer"
    if named is None or len(loose) == 1 or not may_name(named):
        return bare, note
    return with_language(named, bare), note


def _is_date(text: str) -> bool:
    import datetime

    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


# -- info ----------------------------------------------------------------------------------------------------


def _info(options: argparse.Namespace) -> int:
    import attendo as at

    rows = _flat(at.info())
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0


def _flat(facts: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines: {"dependencies": {"numpy": "2"}} gives ("dependencies.numpy", "2")."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple, set, frozenset)):
            rows.append((prefix + name, " ".join(map(str, value)) or "none"))
        else:
            rows.append((prefix + name, "not installed" if value is None else str(value)))
    return rows

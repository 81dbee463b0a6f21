"""The report of a run: one HTML file with everything in it, nothing fetched, no JavaScript."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..viz import alignment, curve
from ..viz.picture import escape
from .attention_section import attention_section
from .markup import code, element, in_language, paragraph, row, scrolling, section, table
from .result import Answer, DemoResult, Example

_MISTAKES_SHOWN = 60
_STYLE = Path(__file__).with_name("report.css")


def write_report(result: DemoResult, path: str | os.PathLike[str]) -> Path:
    """Write the report of a run as one HTML file; returns its path."""
    path = Path(path)
    path.write_text(html_report(result), encoding="utf-8")
    return path


def html_report(result: DemoResult) -> str:
    """The whole page."""
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>attendo demo: dates in {len(result.names)} locales</title>",
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style>",
    ]
    body = [
        _summary(result),
        _languages(result),
        _loss(result),
        _alignments(result),
        attention_section(result),
        _mistakes(result),
        _settings(result),
    ]
    page = element("head", "".join(head)) + element("body", element("main", "\n".join(body)))
    return "<!doctype html>" + element("html", page, lang="en") + "\n"


def _summary(result: DemoResult) -> str:
    tiles = {
        f"exact match on {len(result.answers):,} held-out dates": f"{result.exact_match:.2%}",
        "training": _time(result.seconds["training"]),
        f"steps a second, {len(result.step_loss):,} steps": f"{result.steps_per_second:,.1f}",
        "in all, with data and evaluation": _time(result.seconds["total"]),
    }
    boxes = (
        element("div", element("b", value) + element("span", name), "tile") for name, value in tiles.items()
    )
    right = [example.answer for example in result.examples if example.answer.right]
    sample = right[0] if right else result.row_example.answer
    return (
        element("h1", "A Transformer learns to read dates")
        + paragraph(
            f"It reads a date as people write it in one of {len(result.names)} locales, such as "
            f"{code(sample.text, sample.language)}, and writes it in ISO form, {code(sample.truth)}, "
            "character by character. It was judged on days that occur nowhere in its training, in no "
            "language. A date that means two days in two languages, such as 3/4/1999, names its language."
        )
        + element("div", "".join(boxes), "tiles")
    )


def _languages(result: DemoResult) -> str:
    samples = {example.answer.language: example.answer for example in result.examples}
    columns, rows = "-nn--", []
    for language, (right, total) in result.by_language().items():
        share = right / total
        bar = element("span", element("i", "", style=f"width:{share:.1%}"), "bar")
        sample = _sample(samples[language]) if language in samples else ""
        name = escape(result.names[language])
        rows.append(row([name, f"{right:,} / {total:,}", f"{share:.1%}", bar, sample], columns))
    return section(
        "Exact match by locale",
        paragraph("An answer counts when all ten characters are right.", "note"),
        table(["locale", "right", "share", "", "one of them"], columns, rows, "wide"),
    )


def _sample(answer: Answer) -> str:
    verdict = "mono right" if answer.right else "mono wrong"
    return f"{in_language(answer.text, answer.language)} → {element('span', _said(answer), verdict)}"


def _said(answer: Answer) -> str:
    return escape(answer.answer or "(nothing)")


def _loss(result: DemoResult) -> str:
    steps, epochs = len(result.step_loss), len(result.validation_loss)
    ends = np.arange(1, epochs + 1) * steps / max(1, epochs)
    picture = curve(
        result.step_loss,
        average=max(2, min(100, steps // 20)),
        points=(ends, result.validation_loss) if epochs else None,
        points_name="validation, once an epoch",
        log=True,
        x_label="training step",
        y_label="cross-entropy per character",
    )
    last = min(100, steps)
    final = float(np.mean(result.step_loss[-last:]))
    note = (
        f"Cross-entropy, the mean over the characters to write, on a logarithmic scale. The last {last} "
        f"steps average {final:.2g}: the right character had a (geometric) mean probability of "
        f"{np.exp(-final):.2%}."
    )
    return section("Loss", paragraph(note, "note"), scrolling(picture.svg))


def clearest_layer(examples: list[Example]) -> int:
    """The decoder layer whose rows, averaged over the heads, are the most certain."""

    def certainty(layer: int) -> float:
        means = (example.weights[layer].mean(axis=0) for example in examples)  # (T, S) over the heads
        return float(np.mean([mean.max(axis=-1).mean() for mean in means]))

    return max(range(len(examples[0].weights)), key=certainty)


def _alignments(result: DemoResult) -> str:
    layer = clearest_layer(result.examples)
    figures = [
        _alignment(result.names[example.answer.language], example, layer) for example in result.examples
    ]
    heads = result.examples[0].weights.shape[1]
    return section(
        "What it looked at",
        paragraph(
            "One held-out date in each locale. A row is a character that the model wrote, a column one that "
            "it read (in lower case); the lighter a cell, the more that character counted. Every row adds "
            "up to 1. Where the model looks is not always where a person would: the encoder has already "
            "mixed each character with its neighbours, so any letter of a month's name may carry the month."
        ),
        paragraph(
            f"Cross-attention of decoder layer {layer + 1}, the more certain one, mean of its {heads} "
            "heads. Point at a cell for its number.",
            "note",
        ),
        element("div", "".join(figures), "figures"),
    )


def _alignment(name: str, example: Example, layer: int) -> str:
    answer = example.answer
    mean = example.weights[layer].mean(axis=0)  # (T, S) over the heads
    picture = alignment(mean, example.read, [*example.written, "end"], cell=22)
    said = element("span", _said(answer), "mono")
    caption = f"{element('b', escape(name))} &nbsp; {in_language(answer.text, answer.language)} → {said}"
    if not answer.right:
        caption += " " + element("span", f"wrong: {escape(answer.truth)}", "wrong")
    drawn = scrolling(picture.svg, lang=answer.language)
    return element("figure", element("figcaption", caption) + drawn)


def _mistakes(result: DemoResult) -> str:
    mistakes, columns = result.mistakes, "--cc"
    if not mistakes:
        return section("Mistakes", paragraph(f"None among {len(result.answers):,} held-out dates."))
    rows = []
    for answer in mistakes[:_MISTAKES_SHOWN]:
        text = in_language(answer.text, answer.language)
        rows.append(row([escape(answer.language), text, _marked(answer), escape(answer.truth)], columns))
    shown = "" if len(mistakes) <= _MISTAKES_SHOWN else f", the first {_MISTAKES_SHOWN} of them below"
    return section(
        "Mistakes",
        paragraph(f"{len(mistakes):,} of {len(result.answers):,}{shown}."),
        table(["locale", "written", "answer", "truth"], columns, rows),
    )


def _marked(answer: Answer) -> str:
    """The answer with its wrong characters marked."""
    if not answer.answer:
        return element("span", _said(answer), "wrong")
    truth = answer.truth.ljust(len(answer.answer))
    return "".join(
        escape(said) if said == meant else element("span", escape(said), "wrong")
        for said, meant in zip(answer.answer, truth, strict=False)
    )


def _settings(result: DemoResult) -> str:
    facts = {**result.settings, **result.info}
    entries = (
        element("div", element("dt", escape(name)) + element("dd", escape(_value(value))))
        for name, value in facts.items()
    )
    return section("The run", element("dl", "".join(entries), "facts"))


def _value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"

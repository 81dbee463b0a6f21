"""The report: complete, self-contained, well-formed, and its numbers are the run's."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from attendo.demo.attention_row import AttentionRow
from attendo.demo.report import clearest_layer, html_report, write_report
from attendo.demo.result import Answer, DemoResult, Example
from attendo.reference.scaled_dot_product import scaled_dot_product_steps

VOID = {"meta", "br", "img", "mspace", "link", "input"}


class Balance(HTMLParser):
    """Checks that every element is closed, in order, and keeps the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(html: str) -> Balance:
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def make_row(length: int, features: int = 16) -> AttentionRow:
    rng = np.random.default_rng(0)
    q, k, v = (
        rng.normal(size=features) * 2,
        rng.normal(size=(length, features)),
        rng.normal(size=(length, features)),
    )
    steps = scaled_dot_product_steps(q[None], k, v)
    return AttentionRow(
        head=2, position=6, q=q, k=k, v=v, scores=steps["scores"][0], scaled=steps["scaled"][0],
        maximum=float(steps["row_max"][0, 0]), exponentials=steps["exponentials"][0],
        total=float(steps["row_sum"][0, 0]), weights=steps["weights"][0], out=steps["out"][0],
        difference=3e-7,
    )  # fmt: skip


def make_example(language: str, text: str, answer: str, truth: str = "2026-11-20") -> Example:
    rng = np.random.default_rng(len(text))
    weights = rng.dirichlet(np.ones(len(text)) / 4, size=(2, 4, len(answer) + 1))
    return Example(Answer(language, text, truth, answer), text.lower(), answer, weights)


def make_result(examples: list[Example], **changes) -> DemoResult:
    result = DemoResult(
        settings={"seed": 0, "steps": 400, "peak learning rate": 0.003},
        info={"version": "0.1.0", "isa": "avx2"},
        names={"en-GB": "English (United Kingdom)", "zh": "Chinese"},
        step_loss=np.exp(-np.arange(400) / 80),
        validation_loss=np.array([0.5, 0.02]),
        seconds={"data": 1.0, "training": 75.0, "evaluation": 2.0, "total": 78.0},
        answers=[example.answer for example in examples],
        examples=examples,
        row_example=examples[0],
        row=make_row(len(examples[0].read)),
    )
    return replace(result, **changes)


@pytest.fixture
def result() -> DemoResult:
    return make_result(
        [
            make_example("en-GB", "Friday, 20 November 2026", "2026-11-20"),
            make_example("zh", "2026年11月20日星期五", "2026-11-26"),
        ]
    )


def test_well_formed_and_self_contained(result):
    html = html_report(result)
    parser = parsed(html)
    assert not parser.tags & {"script", "link", "img", "iframe", "object", "form", "input"}
    assert set(re.findall(r"https?://[^\"' )<]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|src=|href=", html)
    assert "prefers-color-scheme:dark" in html and 'name="viewport"' in html


def test_the_style_sheet_knows_every_class(result):
    html = html_report(result)
    css = html[html.index("<style>") : html.index("</style>")]
    assert css.count("{") == css.count("}") > 40
    used = {name for names in re.findall(r'class="([^"]+)"', html) for name in names.split()}
    drawn_by_viz = {"attendo-svg", "paper", "line"}
    plain = {"steps", "dense", "pairs", "wide"}  # named with their element: table.steps
    for name in used - drawn_by_viz:
        assert re.search(rf"{'table' if name in plain else ''}\.{name}\b", css), name


def test_the_figures_of_the_run_are_there(result):
    text = " ".join(parsed(html_report(result)).texts)
    for words in (
        "50.00%",
        "1 min 15 s",
        "5.3",
        "1 / 1",
        "0 / 1",
        "English (United Kingdom)",
        "Chinese",
        "avx2",
        "0.003",
    ):
        assert words in text
    assert "1 of 2" in text and "2026-11-2" in text


def test_every_weight_of_the_alignments_is_in_a_tooltip(result):
    html = html_report(result)
    layer = clearest_layer(result.examples)
    example = result.examples[1]
    mean = example.weights[layer].mean(axis=0)
    for i, written in enumerate([*example.written, "end"]):
        for j, read in enumerate(example.read):
            assert f"<title>{written} ← {read}: {mean[i, j]:.4g}</title>" in html


def test_the_clearest_layer_is_the_most_certain():
    sharp, flat = np.zeros((4, 3, 5)), np.full((4, 3, 5), 0.2)
    sharp[..., 1] = 1
    answer = Answer("zh", "abcde", "", "")
    for layers, expected in (([sharp, flat], 0), ([flat, sharp], 1)):
        assert clearest_layer([Example(answer, "abcde", "12", np.array(layers))]) == expected


def number(cell: str) -> float:
    return float(re.sub(r"<[^>]+>", "", cell).replace("−", "-"))


def test_the_numbers_of_the_row_are_those_of_the_formulas(result):
    row = result.row
    html = html_report(result)
    section = html[html.index("One attention row, step by step") :]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in re.findall(r"<tr.*?</tr>", section)]
    table = [line for line in cells if len(line) == 7 and line[0].isdigit()]
    assert len(table) == len(row.weights)
    scores = row.k @ row.q
    exponentials = np.exp((scores - scores.max()) / 4)
    for line, score, exponential in zip(table, scores, exponentials, strict=True):
        shown = [number(cell) for cell in line[2:]]
        expected = [
            score,
            score / 4,
            (score - scores.max()) / 4,
            exponential,
            exponential / exponentials.sum(),
        ]
        assert shown == pytest.approx(expected, abs=6e-4)
    (sums,) = [line for line in cells if "1.000" in "".join(line[-1:]) and "sum" in line]
    assert number(sums[5]) == pytest.approx(exponentials.sum(), abs=6e-5)
    weights = exponentials / exponentials.sum()
    for value in (weights @ row.v)[:4]:
        assert f"{value:.3f}".replace("-", "−") in section


def test_hostile_texts_stay_texts():
    hostile = "<script>alert(1)</script>\"'&\x00"
    example = make_example("en-GB", hostile, "<b>-0123456"[:10], truth="</td><td>x")
    result = make_result(
        [example], names={"en-GB": hostile}, settings={hostile: hostile}, info={"v": hostile}
    )
    parser = parsed(html_report(result))
    assert "script" not in parser.tags
    assert any("<script>alert(1)</script>" in text for text in parser.texts)


def test_no_mistakes_many_mistakes_and_silence():
    right = make_example("zh", "2026年11月20日", "2026-11-20")
    assert "None among 1 held-out dates" in html_report(make_result([right]))
    silent = replace(right.answer, answer="")
    html = html_report(make_result([right], answers=[silent] * 100))
    assert "100 of 100, the first 60 of them below" in html and html.count("(nothing)") == 60
    example = Example(silent, right.read, "", right.weights[:, :, :1])
    parsed(html_report(make_result([example], row_example=right, row=make_row(len(right.read)))))


def test_it_is_written_as_utf8(result, tmp_path):
    path = write_report(result, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == html_report(result)


def test_result_counts():
    examples = [
        make_example("zh", "2026年11月20日", "2026-11-20"),
        make_example("zh", "2026年11月2日", "2026-11-02"),
    ]
    result = make_result(examples)
    assert result.exact_match == 0.5
    assert result.mistakes == [examples[1].answer]
    assert result.by_language() == {"zh": (1, 2)}
    assert result.steps_per_second == pytest.approx(400 / 75)

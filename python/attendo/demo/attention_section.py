"""The part of the report that computes one attention row in numbers, with the formula above each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..viz.picture import escape
from .markup import code, element, paragraph, row, section, signed, table, weight
from .result import DemoResult

_OUT_FEATURES = 4  # how many features of the output are worked out
_OUT_CHARACTERS = 5  # how many characters are shown one by one in the weighted sum; the others as one line


def attention_section(result: DemoResult) -> str:
    """Scores, softmax and weighted sum of the run's `row`."""
    found, example = result.row, result.row_example
    done, next_one = example.written[: found.position], example.written[found.position]
    letters = [element("span", "␣" if letter == " " else escape(letter), "chip") for letter in example.read]
    return section(
        "One attention row, step by step",
        paragraph(
            f"The model reads {code(example.read, example.answer.language)}. It has written {code(done)} and "
            f"is about to write {code(next_one)}. In the first decoder layer, head {found.head + 1} of "
            f"{example.weights.shape[1]} asks with one query vector <i>q</i> which of the {len(letters)} "
            "characters matter now. Each character <i>j</i> has a key <i>k<sub>j</sub></i> to be found by "
            f"and a value <i>v<sub>j</sub></i> to be read; all have <i>D</i> = {len(found.q)} features. "
            "These are the numbers of this run, rounded for display; the sums use all digits."
        ),
        _dot_product(result, letters),
        _softmax(result, letters),
        _weighted_sum(result, letters),
        paragraph(
            "Recomputed from the saved parameters with the plain NumPy formulas of "
            f"{code('attendo.reference')}; over all heads and rows of this layer the largest difference "
            f"from the model's own weights is {found.difference:.1g}.",
            "note",
        ),
    )


# -- the three steps


def _dot_product(result: DemoResult, letters: Sequence[str]) -> str:
    found = result.row
    size, best = len(found.q), int(np.argmax(found.weights))
    columns = "-" + "n" * (size + 1)
    lines = {
        _sub("q", "d"): (found.q, ""),
        _sub("k", "jd"): (found.k[best], ""),
        _sub("q", "d") + _sub("k", "jd"): (found.q * found.k[best], signed(found.scores[best])),
    }
    rows = [
        row([_math(name), *map(signed, values.tolist()), element("b", total)], columns)
        for name, (values, total) in lines.items()
    ]
    head = ["feature <i>d</i>", *map(str, range(1, size + 1)), "sum"]
    root = f"{np.sqrt(size):.4g}"
    return (
        element("h3", "1. How well does the query match a key?")
        + _formula(_SCORE)
        + paragraph(
            "The product of query and key, feature by feature, added up; shown for the character "
            f"{letters[best]} at place {best + 1}."
        )
        + table(head, columns, rows, "steps dense")
        + paragraph(
            f"Divided by √{size} = {root}, so that the size of the scores does not grow with <i>D</i>: "
            f"{signed(found.scores[best])} / {root} = {element('b', signed(found.scaled[best]))}.",
            "after",
        )
    )


def _softmax(result: DemoResult, letters: Sequence[str]) -> str:
    found = result.row
    best, columns = int(np.argmax(found.weights)), "m-nnnn-"
    rows = []
    for j, letter in enumerate(letters):
        scores = (found.scores[j], found.scaled[j], found.scaled[j] - found.maximum)
        cells = [
            str(j + 1),
            letter,
            *map(signed, scores),
            f"{found.exponentials[j]:.4f}",
            weight(found.weights[j]),
        ]
        rows.append(row(cells, columns, "top" if j == best else ""))
    total = element("span", f"{found.weights.sum():.3f}", "weight")
    rows.append(row(["", "sum", "", "", "", f"{found.total:.4f}", total], columns, "sum"))
    names = [
        "<mi>q</mi><mo>·</mo>" + _sub("k", "j"),
        _sub("s", "j"),
        _sub("s", "j") + "<mo>−</mo><mi>m</mi>",
        _sub("e", "j"),
        _sub("α", "j"),
    ]
    return (
        element("h3", "2. From scores to weights: softmax")
        + _formula(_SOFTMAX)
        + paragraph(
            f"The largest score, <i>m</i> = {signed(found.maximum)}, is taken from all: it changes no "
            "weight, and no exponential can overflow. Then every exponential is divided by their sum, "
            f"<i>Z</i> = {found.total:.4f}."
        )
        + table(["<i>j</i>", "", *map(_math, names)], columns, rows, "steps")
    )


def _weighted_sum(result: DemoResult, letters: Sequence[str]) -> str:
    found = result.row
    size = found.v.shape[1]
    shown = min(_OUT_FEATURES, size)
    columns = "m-" + "n" * shown
    order = np.argsort(-found.weights, kind="stable").tolist()
    first, rest = order[:_OUT_CHARACTERS], order[_OUT_CHARACTERS:]
    rows = []
    for j in first:
        share = found.weights[j]
        cells = [
            element("span", f"{share:.3f} × {signed(value)} =", "mute") + " " + signed(share * value)
            for value in found.v[j, :shown].tolist()
        ]
        rows.append(row([str(j + 1), letters[j], *cells], columns))
    if rest:
        others = (found.weights[rest] @ found.v[rest])[:shown]
        rows.append(row(["", f"the other {len(rest)}", *map(signed, others.tolist())], columns))
    rows.append(row(["", _math(_sub("o", "d")), *map(signed, found.out[:shown].tolist())], columns, "sum"))
    names = [_sub("α", "j") + _sub("v", f"j{d + 1}") for d in range(shown)]
    return (
        element("h3", "3. What is read: the weighted sum of the values")
        + _formula(_OUTPUT)
        + paragraph(
            f"The first {shown} of {size} features, the heaviest characters first. The {size} sums, beside "
            "those of the other heads, go through the output projection and on into the layer."
        )
        + table(["<i>j</i>", "", *map(_math, names)], columns, rows, "steps dense pairs")
    )


# -- formulas, in MathML


def _math(content: str) -> str:
    return element("math", element("mrow", content))


def _formula(content: str) -> str:
    return element("div", element("math", element("mrow", content), display="block"), "formula")


def _sub(base: str, index: str) -> str:
    letters = "".join(element("mn" if letter.isdigit() else "mi", letter) for letter in index)
    return element("msub", element("mi", base) + element("mrow", letters))


def _sum(index: str) -> str:
    return f"<munder><mo movablelimits='false'>∑</mo><mi>{index}</mi></munder>"


def _fraction(top: str, bottom: str) -> str:
    return element("mfrac", element("mrow", top) + element("mrow", bottom))


_ROOT_D = "<msqrt><mi>D</mi></msqrt>"
_GAP = "<mspace width='2.2em'/>"
_SCORE = (
    _sub("s", "j")
    + "<mo>=</mo>"
    + _fraction("<mi>q</mi><mo>·</mo>" + _sub("k", "j"), _ROOT_D)
    + "<mo>=</mo>"
    + _fraction("<mn>1</mn>", _ROOT_D)
    + _sum("d")
    + _sub("q", "d")
    + _sub("k", "jd")
)
_SOFTMAX = (
    "<mi>m</mi><mo>=</mo><munder><mo movablelimits='false'>max</mo><mi>j</mi></munder>"
    + _sub("s", "j")
    + _GAP
    + _sub("e", "j")
    + "<mo>=</mo><mi>exp</mi><mo stretchy='false'>(</mo>"
    + _sub("s", "j")
    + "<mo>−</mo><mi>m</mi><mo stretchy='false'>)</mo>"
    + _GAP
    + "<mi>Z</mi><mo>=</mo>"
    + _sum("j")
    + _sub("e", "j")
    + _GAP
    + _sub("α", "j")
    + "<mo>=</mo>"
    + _fraction(_sub("e", "j"), "<mi>Z</mi>")
)
_OUTPUT = _sub("o", "d") + "<mo>=</mo>" + _sum("j") + _sub("α", "j") + _sub("v", "jd")

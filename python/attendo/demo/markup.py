"""The few HTML elements the report is made of. Contents are HTML already: escape what comes from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..viz.colour import sequential, text_on
from ..viz.picture import escape


def element(name: str, content: str, kind: str = "", **attributes: str) -> str:
    """`<name class="kind" …>content</name>`."""
    written = {"class": kind, **attributes} if kind else attributes
    head = "".join(f' {key}="{escape(value)}"' for key, value in written.items())
    return f"<{name}{head}>{content}</{name}>"


def paragraph(content: str, kind: str = "") -> str:
    return element("p", content, kind)


def code(text: str, language: str = "en") -> str:
    return element("code", in_language(text, language))


def in_language(text: str, language: str) -> str:
    """The text, escaped, marked as its language: Chinese and Japanese draw one character differently."""
    return element("span", escape(text), lang=language)


def section(title: str, *content: str) -> str:
    return element("section", element("h2", escape(title)) + "".join(content))


def scrolling(content: str, **attributes: str) -> str:
    """A box in which what is too wide scrolls, so that the page does not."""
    return element("div", content, "scroll", **attributes)


def row(cells: Sequence[str], columns: str, kind: str = "", name: str = "td") -> str:
    """A table row; `columns` has one letter a cell: n for a number, m for a muted number, others for text."""
    kinds = {"n": "n", "m": "n mute", "c": "mono"}
    drawn = [element(name, cell, kinds.get(column, "")) for cell, column in zip(cells, columns, strict=True)]
    return element("tr", "".join(drawn), kind)


def table(head: Sequence[str], columns: str, rows: Iterable[str], kind: str = "") -> str:
    return scrolling(element("table", row(head, columns, name="th") + "".join(rows), kind))


def weight(value: float) -> str:
    """An attention weight on the colour it has in the heatmaps."""
    colour = sequential(value)
    return element("span", f"{value:.3f}", "weight", style=f"background:{colour};color:{text_on(colour)}")


def signed(value: float) -> str:
    """Three decimals with a real minus sign, and never "−0.000"."""
    text = f"{value:.3f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")

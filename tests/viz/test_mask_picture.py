"""mask: what is drawn, what is told, and that no title can break out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import attendo as at
from attendo import viz
from attendo.viz.colour import contrast, luminance
from attendo.viz.mask import _ALLOWED, _MASKED

SVG = "{http://www.w3.org/2000/svg}"
masks = at.masks


def tips(picture: viz.Picture) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture.svg).iter(SVG + "title")]


def texts(picture: viz.Picture) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture.svg).iter(SVG + "text")]


def filled(picture: viz.Picture) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of what may attend; the legend is the last."""
    rects = [e for e in ElementTree.fromstring(picture.svg).iter(SVG + "rect") if e.get("fill") == _ALLOWED]
    return [tuple(float(e.get(name, "")) for name in ("x", "y", "width", "height")) for e in rects]  # type: ignore[misc]


def test_rows_of_what_may_attend():
    picture = (masks.causal() & masks.window(1)).draw(4)
    assert tips(picture) == [
        "queries 0 → keys 0",
        "queries 1 → keys 0–1",
        "queries 2 → keys 1–2",
        "queries 3 → keys 2–3",
    ]
    assert "7 of 16 pairs may attend (0.438)" in texts(picture)
    assert {"may attend", "may not", "keys →", "← queries", "(causal() & window(1))"} <= set(texts(picture))
    assert repr(picture) == "Picture('(causal() & window(1))')"
    assert "aria-label=" in picture.svg and "7 of 16 pairs" in picture.svg.split("aria-label=")[1][:99]


def test_the_filled_area_is_the_allowed_share():
    """Of a long mask too, whose cells are several queries and keys."""
    for mask, length in ((masks.window(3), 24), (masks.window(40) | masks.global_tokens([0]), 512)):
        picture = mask.draw(length, max_size=64)
        *cells, _ = filled(picture)
        side = -(-length // 64)
        cell = 448 / 64 if side > 1 else 448 / length
        area = sum(width * height for _, _, width, height in cells) / (cell * length / side) ** 2
        share = mask.dense(1, 1, length, length).mean()
        assert area == pytest.approx(share, rel=0.05)
    assert any("a cell is 8 × 8" in text for text in texts(picture))
    assert any("% of the pairs" in tip for tip in tips(picture))


def test_positions_in_the_labels():
    picture = masks.causal().draw(2, 6, q_offset=4)
    assert tips(picture) == ["queries 4 → keys 0–4", "queries 5 → keys 0–5"]
    assert {"4", "5"} <= set(texts(picture))
    long = masks.window(300).draw(5000)
    assert {"0", "79"} & set(texts(long)) and len(long.svg) < 100_000


def test_two_colours_apart_for_everybody():
    """In lightness, which every eye sees; and the filled ones on a page of any colour beside the others."""
    assert contrast(_ALLOWED, _MASKED) > 4.5
    assert luminance(_MASKED) > luminance(_ALLOWED)
    colours = set(re.findall(r'fill="(#\w+)"', masks.causal().draw().svg))
    assert colours == {_ALLOWED, _MASKED}


@pytest.mark.parametrize(
    "title", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "&amp;", "\x00\ud800"]
)
def test_a_title_stays_text(title):
    picture = masks.causal().draw(3, title=title)
    root = ElementTree.fromstring(picture.svg)
    assert not list(root.iter(SVG + "script")) and not list(root.iter(SVG + "img"))


def test_a_notebook_shows_the_mask():
    html = masks.longformer(5)._repr_html_()
    assert html.startswith("<div") and "<svg" in html
    impossible = masks.lengths([1, 2]) & masks.lengths([1, 2, 3])
    assert impossible._repr_html_() == "<pre>(lengths([1, 2]) &amp; lengths([1, 2, 3]))</pre>"


def test_a_mask_has_a_size_of_its_own():
    def pairs(mask):
        cells = mask._cells(None, None, 0, 0, 0, 64)
        return cells.length, cells.keys

    assert pairs(masks.causal()) == (16, 16)
    assert pairs(masks.dense(np.ones((3, 5), bool))) == (3, 5)
    assert pairs(masks.blocks([[True] * 4] * 2, 8)) == (16, 32)
    assert pairs(masks.documents([1] * 7) & masks.causal()) == (7, 7)
    assert pairs(masks.lengths([3, 40])) == (40, 40)
    assert pairs(masks.window(1000))[0] > 2000

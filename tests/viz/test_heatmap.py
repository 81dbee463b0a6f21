"""heatmap and alignment: what is drawn, what is elided, and that no label can break out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from attendo import viz
from attendo.viz.colour import MISSING, contrast, luminance, sequential, text_on

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "&amp;",
    "\x00\x1b[31m",
    "\ud800",
    "]]>",
]


def parse(picture: viz.Picture) -> ElementTree.Element:
    return ElementTree.fromstring(picture.svg)


def tips(picture: viz.Picture) -> list[str]:
    return [element.text or "" for element in parse(picture).iter("{http://www.w3.org/2000/svg}title")]


def texts(picture: viz.Picture) -> list[str]:
    return [element.text or "" for element in parse(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_every_cell_has_its_number_in_a_tooltip():
    picture = viz.heatmap([[0.25, 0.75], [1, 0]], x=["le", "chat"], y=["the", "cat"])
    assert tips(picture) == ["the ← le: 0.25", "the ← chat: 0.75", "cat ← le: 1", "cat ← chat: 0"]
    assert {"0.25", "0.75", "1.00", "0.00", "le", "chat", "the", "cat"} <= set(texts(picture))


def test_small_cells_have_no_number_inside():
    assert not set(texts(viz.heatmap(np.full((3, 50), 0.5)))) & {"0.50"}


def test_colours_run_from_low_to_high():
    picture = viz.heatmap([[0.0, 0.5, 1.0]], cell=30)
    fills = re.findall(r'<title>[^<]*</title><rect [^>]*fill="(#\w+)"', picture.svg)
    assert fills == [sequential(0), sequential(0.5), sequential(1)]
    wider = viz.heatmap([[0.0, 0.5, 1.0]], low=-1, high=3)
    assert sequential(0.25) in wider.svg


def test_values_that_are_not_finite_are_grey_and_do_not_set_the_scale():
    picture = viz.heatmap([[np.nan, 1.0, 2.0], [np.inf, -np.inf, 1.5]])
    assert picture.svg.count(MISSING) == 3
    assert sequential(0) in picture.svg and sequential(1) in picture.svg
    parse(viz.heatmap(np.full((2, 2), np.nan)))


def test_a_constant_matrix_is_drawn():
    assert tips(viz.heatmap([[3, 3]])) == ["0 ← 0: 3", "0 ← 1: 3"]


def test_large_matrices_are_elided_in_the_middle():
    picture = viz.heatmap(np.zeros((100, 300)), max_size=10)
    assert len(tips(picture)) == 9 * 9
    assert {"0", "4", "96", "99", "296", "299", "⋯"} <= set(texts(picture))
    assert not {"5", "95", "295"} & set(texts(picture))
    assert len(tips(viz.heatmap(np.zeros((10, 10)), max_size=10))) == 100


def test_labels_are_escaped():
    n = len(HOSTILE)
    picture = viz.heatmap(np.eye(n), HOSTILE, HOSTILE, HOSTILE[0], x_title=HOSTILE[1], y_title=HOSTILE[2])
    root = parse(picture)  # well-formed, so nothing broke out of its element or attribute
    assert {element.tag.partition("}")[2] for element in root.iter()} == {
        "svg",
        "style",
        "rect",
        "text",
        "g",
        "title",
    }
    assert HOSTILE[0] in texts(picture)
    assert root.attrib["aria-label"] == HOSTILE[0]
    assert "\ufffd" in "".join(texts(picture))
    picture.svg.encode("utf-8")


def test_alignment_scales_from_0_to_1_and_shows_spaces():
    picture = viz.alignment([[0.2, 0.3, 0.5]], "a b", ["1"])
    assert tips(picture) == ["1 ← a: 0.2", "1 ← ␣: 0.3", "1 ← b: 0.5"]
    assert sequential(0.5) in picture.svg


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([1.0, 2.0],), ValueError, r"matrix: must have shape \(rows, columns\), not \(2,\)"),
        ((np.zeros((0, 3)),), ValueError, r"matrix: has shape \(0, 3\)"),
        (([[1j]],), TypeError, "matrix: must be made of real numbers, not complex128"),
        (([["a"]],), TypeError, "matrix: must be made of real numbers"),
        (([[1.0, 2.0]], ["a"]), ValueError, "x: has 1 labels but matrix has 2 columns"),
        (([[1.0, 2.0]], None, ["a", "b"]), ValueError, "y: has 2 labels but matrix has 1 rows"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        viz.heatmap(*arguments)


def test_sizes_must_make_sense():
    with pytest.raises(ValueError, match="max_size: must be at least 2"):
        viz.heatmap([[1.0]], max_size=1)
    with pytest.raises(ValueError, match="cell: must be a number of pixels above 0"):
        viz.heatmap([[1.0]], cell=0)


def test_the_input_is_not_changed():
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    matrix.setflags(write=False)
    viz.heatmap(matrix)
    viz.heatmap(matrix[:, ::-2])
    assert np.array_equal(matrix, np.arange(6).reshape(2, 3))


def test_the_map_is_ordered_by_luminance_and_text_stays_readable_on_it():
    shares = np.linspace(0, 1, 101)
    light = [luminance(sequential(share)) for share in shares]
    assert np.all(np.diff(light) > 0)  # so it is ordered without any colour vision at all
    assert min(contrast(text_on(sequential(share)), sequential(share)) for share in shares) >= 4.5
    assert contrast(text_on(MISSING), MISSING) >= 4.5
    assert sequential(-1) == sequential(0) and sequential(2) == sequential(1)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)

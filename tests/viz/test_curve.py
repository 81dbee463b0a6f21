"""curve: scale, average, gaps, ticks."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from attendo import viz
from attendo.viz.curve import _even_ticks, _log_ticks, _moving_average


def paths(picture: viz.Picture) -> list[np.ndarray]:
    """The points of every line drawn, (n, 2)."""
    ElementTree.fromstring(picture.svg)
    lines = re.findall(r'<path d="([^"]*)"', picture.svg)
    return [np.array(re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", line), dtype=float) for line in lines]


def test_one_line_that_falls_where_the_values_fall():
    (line,) = paths(viz.curve([4.0, 3.0, 2.0, 1.0]))
    assert np.all(np.diff(line[:, 0]) > 0)
    assert np.allclose(np.diff(line[:, 1]), np.diff(line[:, 1])[0], atol=0.11)  # a straight line, going down
    assert line[0, 1] < line[-1, 1]


def test_log_scale_makes_powers_even():
    (line,) = paths(viz.curve([1000.0, 100.0, 10.0, 1.0], log=True))
    assert np.allclose(np.diff(line[:, 1]), np.diff(line[:, 1])[0], atol=0.11)


def test_the_average_is_a_second_line():
    rng = np.random.default_rng(0)
    raw, average = paths(viz.curve(rng.random(500), average=50))
    assert len(raw) == len(average) == 500
    assert np.std(average[100:, 1]) < np.std(raw[100:, 1]) / 2


def test_moving_average_is_the_mean_of_the_last_values():
    values = np.array([1.0, 3.0, np.nan, 5.0, 7.0])
    assert np.allclose(_moving_average(values, 2), [1, 2, 3, 5, 6])
    assert np.isnan(_moving_average(np.array([np.nan]), 3)).all()


def test_spikes_survive_when_there_are_more_values_than_pixels():
    values = np.zeros(100_000)
    values[51_234] = 1.0
    (line,) = paths(viz.curve(values))
    assert len(line) <= 1000
    assert line[:, 1].min() == paths(viz.curve([0.0, 1.0]))[0][:, 1].min()


def test_gaps_where_a_value_cannot_be_drawn():
    assert (
        viz.curve([1.0, np.nan, 2.0, np.inf, 3.0]).svg.count("M") - viz.curve([1.0, 2.0]).svg.count("M") == 2
    )
    (line,) = paths(viz.curve([1.0, 0.0, -1.0, 2.0], log=True))
    assert len(line) == 2


def test_marks_have_tooltips():
    picture = viz.curve([3.0, 2.0, 1.0], points=([1, 3], [2.5, np.nan]), points_name="<held out>")
    assert picture.svg.count("<circle") == 1
    assert "&lt;held out&gt;: 2.5" in picture.svg


def test_texts_are_escaped():
    hostile = "</text><script>alert(1)</script>"
    picture = viz.curve([1.0, 2.0], title=hostile, x_label=hostile, y_label=hostile)
    assert "<script" not in picture.svg
    ElementTree.fromstring(picture.svg)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.0, 17.0), (5.0, 5.0), (0.0, 0.0), (1e-9, 2e-9), (1, 4500)]
)
def test_even_ticks_cover_the_range(low, high):
    ticks = _even_ticks(low, high)
    assert ticks[0] <= low + 1e-12 and ticks[-1] >= high - 1e-12
    assert 2 <= len(ticks) <= 9


@pytest.mark.parametrize(("low", "high"), [(0.001, 2.7), (1.0, 1.0), (0.3, 0.4), (1e-12, 1e3), (5e-324, 1.0)])
def test_log_ticks_cover_the_range(low, high):
    ticks = _log_ticks(low, high)
    assert ticks[0] <= max(low, 1e-307) * (1 + 1e-9) and ticks[-1] >= high * (1 - 1e-9)
    assert len(ticks) >= 2 and ticks == sorted(ticks)


@pytest.mark.parametrize("values", [[7.0], [2.0, 2.0], [0.0], [1e300, 1.0]])
def test_degenerate_values_are_drawn(values):
    assert len(paths(viz.curve(values))[0]) == len(values)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"values": []}, "values: is empty"),
        ({"values": [[1.0]]}, r"values: must be one row of numbers, not of shape \(1, 1\)"),
        ({"values": [np.nan, np.inf]}, "values: there is no finite number to draw"),
        ({"values": [0.0, -1.0], "log": True}, "values: there is no finite number to draw"),
        ({"values": [1e308, -1e308]}, "too far to draw"),
        ({"values": [1.0, 2.0], "x": [1.0]}, "x: has 1 numbers but values has 2"),
        ({"values": [1.0], "average": -1}, "average: must not be negative"),
        ({"values": [1.0], "points": ([1, 2], [1.0])}, "points: 2 places but 1 values"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        viz.curve(**arguments)

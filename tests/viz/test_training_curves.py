"""training_curves: panels, scale, the bar of time, and matplotlib's axes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from attendo import viz

SVG = "{http://www.w3.org/2000/svg}"


def history(steps=200, epochs=4, **more):
    loss = np.linspace(2.0, 1.0, steps)
    return {"step_loss": loss, "lr": np.full(steps, 0.1), "loss": loss[-1] + np.arange(epochs)[::-1], **more}


def panels(picture):
    root = ElementTree.fromstring(picture.svg)
    return root.findall(f"{SVG}svg")


def texts(element):
    return [text.text for text in element.iter(f"{SVG}text")]


def test_one_panel_for_each_thing_to_see():
    plain = panels(viz.training_curves(history()))
    assert len(plain) == 1  # a learning rate that never changes is no curve
    more = history(
        lr=np.linspace(0.1, 0.01, 200),
        val_loss=np.array([1.9, 1.6, 1.5, 1.6]),
        val_accuracy=np.array([0.5, 0.7, 0.75, 0.74]),
        val_bleu=np.array([1.0, 9.0, 12.0, 11.0]),
    )
    picture = viz.training_curves(more, title="dates <1>")
    loss, rate, accuracy, bleu = panels(picture)
    assert "loss" in texts(loss) and "validation" in texts(loss) and "dates <1>" in texts(loss)
    assert "learning rate" in texts(rate) and "accuracy" in texts(accuracy) and "bleu" in texts(bleu)
    tops = [float(panel.get("y")) for panel in panels(picture)]
    heights = [float(panel.get("height")) for panel in panels(picture)]
    assert tops == list(np.cumsum([0, *heights[:-1]]))
    assert float(ElementTree.fromstring(picture.svg).get("height")) == sum(heights)


def test_validation_stands_at_the_end_of_its_epoch():
    (panel,) = panels(viz.training_curves(history(val_loss=np.array([1.9, 1.6, 1.5, 1.6]))))
    marks = [float(c.get("cx")) for c in panel.iter(f"{SVG}circle")]
    ends = [float(re.findall(r"[ML]([\d.]+) ", p.get("d"))[-1]) for p in panel.iter(f"{SVG}path")]
    assert marks[-1] == pytest.approx(ends[0], abs=0.1) and np.diff(marks) == pytest.approx(
        np.diff(marks)[0], abs=0.11
    )


def test_the_scale_is_logarithmic_when_the_range_asks_for_it():
    def ticks(low):
        (panel,) = panels(viz.training_curves(history(step_loss=np.linspace(1.0, low, 200))))
        return texts(panel)

    assert "0.001" in ticks(0.001) and "0.01" in ticks(0.001)
    assert "0.8" in ticks(0.1)
    assert "0.01" not in ticks(-1e-9)  # not all above 0


def test_the_bar_shows_the_share_of_each_part():
    time = {"data": 1.0, "forward": 2.0, "backward": 5.0, "callbacks": 0.0}
    root = ElementTree.fromstring(viz.training_curves(history(time=time)).svg)
    group = root.find(f"{SVG}g")
    bars = [rect for rect in group.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    widths = np.array([float(bar.get("width")) for bar in bars])
    assert widths / widths.sum() == pytest.approx([5 / 8, 2 / 8, 1 / 8, 0], abs=1e-3)
    assert texts(group) == [
        "time of training: 8 s",
        "backward 62%",
        "forward 25%",
        "data 12%",
        "callbacks 0.0%",
    ]
    assert (
        ElementTree.fromstring(viz.training_curves(history(time={"data": 0.0})).svg).find(f"{SVG}g") is None
    )


def test_saved_alone(tmp_path):
    text = viz.training_curves(history(val_loss=np.ones(4))).save(tmp_path / "curves.html").read_text()
    assert "<script" not in text and "href" not in text and "src=" not in text


@pytest.mark.parametrize("steps", [1, 2, 100_000])
def test_short_and_long(steps):
    picture = viz.training_curves(history(steps, 1, val_loss=np.array([0.5]), val_accuracy=np.array([0.5])))
    assert len(panels(picture)) == 2 and len(picture.svg) < 200_000


def test_losses_that_are_not_finite_leave_gaps():
    loss = np.array([2.0, np.nan, 1.0, np.inf])
    assert viz.training_curves({"step_loss": loss, "lr": np.ones(4), "loss": np.array([np.nan])}).svg
    with pytest.raises(ValueError, match="no step with a finite loss"):
        viz.training_curves({"step_loss": loss * np.nan, "lr": np.ones(4), "loss": np.array([np.nan])})


def test_on_axes_of_matplotlib():
    pytest.importorskip("matplotlib", reason="draws on its axes")
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    more = history(step_loss=np.geomspace(1, 1e-3, 200), val_loss=np.array([0.9, 0.3, 0.2, 0.1]))
    assert viz.training_curves(more, ax=ax) is ax
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "step"
    each, average, validation = ax.get_lines()
    np.testing.assert_array_equal(each.get_ydata(), more["step_loss"])
    np.testing.assert_array_equal(validation.get_xdata(), [50, 100, 150, 200])
    assert average.get_ydata()[0] == pytest.approx(more["step_loss"][:4].mean())

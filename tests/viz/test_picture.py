"""Picture: notebook, files, and that it needs nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from attendo import viz


@pytest.fixture
def picture() -> viz.Picture:
    return viz.heatmap([[0.5, 1.0]], x=["日", "本"], title='a < b & "c"')


def test_saves_svg(picture, tmp_path):
    path = picture.save(tmp_path / "a.svg")
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "日" in path.read_text(encoding="utf-8")


def test_saves_html(picture, tmp_path):
    path = picture.save(str(tmp_path / "a.HTML"))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and picture.svg in text
    assert "<title>a &lt; b &amp; &quot;c&quot;</title>" in text
    HTMLParser().feed(text)


def test_other_endings_are_refused(picture, tmp_path):
    with pytest.raises(ValueError, match=r"path: must end in \.svg or \.html, not 'a\.png'"):
        picture.save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_shows_itself_in_a_notebook(picture):
    assert picture.svg in picture._repr_html_()
    assert repr(picture) == "Picture('a < b & \"c\"')"


def test_fetches_nothing(picture):
    for svg in (picture.svg, viz.curve([1.0, 2.0], log=True, average=2).svg):
        addresses = set(re.findall(r"https?://[^\"' ]+", svg))
        assert addresses == {"http://www.w3.org/2000/svg"}  # a name space, never fetched
        assert not re.search(r"<script|@import|url\(|href", svg)

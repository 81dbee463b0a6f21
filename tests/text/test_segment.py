"""Chinese words, through jieba where it is installed."""

import sys
import tempfile
from pathlib import Path

import pytest

from attendo._text import chinese
from attendo.text import Tokenizer, segment


@pytest.fixture
def jieba():
    pytest.importorskip("jieba", reason='needs jieba: pip install "attendo[chinese]"', exc_type=ImportError)
    return None


@pytest.mark.filterwarnings("ignore")  # of jieba's own code
def test_the_sentences_of_the_article(jieba):
    texts = ["我爱北京天安门", "天安门上太阳升", "北京风光好"]
    words = [segment(text) for text in texts]
    assert words[0] == ["我", "爱", "北京", "天安门"]
    assert all("".join(row) == text for row, text in zip(words, texts, strict=True))
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(words)
    assert {tokenizer.word_index["北京"], tokenizer.word_index["天安门"]} == {1, 2}
    assert segment("") == [] and segment(" 我 \n 爱 ") == ["我", "爱"]


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_read_from_the_shared_folder_of_temporary_files(jieba, tmp_path, monkeypatch):
    """jieba would read what anybody left there, with marshal."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "jieba.cache").write_bytes(b"not what it should be")
    chinese._jieba.cache_clear()
    assert segment("北京") == ["北京"]
    assert [path.name for path in tmp_path.iterdir()] == ["jieba.cache"]
    assert Path(tmp_path / "jieba.cache").read_bytes() == b"not what it should be"


def test_without_jieba(monkeypatch):
    chinese._jieba.cache_clear()
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(ImportError, match=r'jieba is not installed; run: pip install "attendo\[chinese\]"'):
        segment("北京")


def test_bad_arguments():
    with pytest.raises(TypeError, match="segment: text is a list but must be a str"):
        segment(["北京"])
    with pytest.raises(ValueError, match="segment: lang is 'en' but must be 'zh'"):
        segment("text", lang="en")

"""Cleaning: punctuation, symbols and controls go, letters and their marks stay, in every script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attendo.text import clean_text


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", {}, ""),
        (" \t\n\u3000\u00a0", {}, ""),
        ("  two\t\nwords  ", {}, "two words"),
        ("Hello, world!", {}, "Hello world"),
        ("Hello,world", {}, "Hello world"),
        ("Hello,world", {"punctuation": "remove"}, "Helloworld"),
        ("Hello, world!", {"punctuation": "keep"}, "Hello, world!"),
        ("don't 'quote' it", {}, "don't quote it"),
        ("don\u2019t", {}, "don't"),
        ("don't", {"punctuation": "remove"}, "dont"),
        ("the '90s; 5'9", {}, "the 90s 5 9"),
        ("a_b-c/d", {}, "a b c d"),
        ("€5 + 3 = 😀", {}, "5 3"),
        ("ÀÉ Straße", {"lower": True}, "àé straße"),
        ("cafe\u0301", {}, "café"),
        ("cafe\u0301", {"form": None}, "cafe\u0301"),
        ("\uff21\uff11\uff0c", {"form": "NFKC"}, "A1"),
        ("हिन्दी है।", {}, "हिन्दी है"),
        ("می\u200cخواهم، نه", {}, "می\u200cخواهم نه"),
        ("我爱，北京！", {}, "我爱 北京"),
        ("zero\u200bwidth\ufeff b\u202eidi\u2066", {}, "zerowidth bidi"),
        ("nul\0byte\x07", {}, "nul byte"),
        ("nul\0byte\x07", {"punctuation": "remove"}, "nulbyte"),
        ("The cat IS on the mat", {"stop_words": ["the", "is", "On"]}, "cat mat"),
        ("half \ud800 pair", {}, "half pair"),
    ],
)
def test_golden(text, options, expected):
    assert clean_text(text, **options) == expected


@given(st.text(max_size=40), st.sampled_from(["space", "remove"]))
def test_only_letters_marks_numbers_and_single_spaces_are_left(text, punctuation):
    out = clean_text(text, punctuation=punctuation)
    assert out == out.strip() and "  " not in out
    for character in out:
        assert unicodedata.category(character)[0] in "LMN" or character in " '\u200c\u200d"
    letters = [c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] in "LMN"]
    assert [c for c in out if unicodedata.category(c)[0] in "LMN"] == letters
    assert clean_text(out, punctuation=punctuation) == out


def test_bad_arguments():
    with pytest.raises(TypeError, match="clean_text: text is a bytes but must be a str"):
        clean_text(b"bytes")
    with pytest.raises(TypeError, match="clean_text: stop_words is a str"):
        clean_text("a", stop_words="the")
    with pytest.raises(ValueError, match="clean_text: punctuation is 'drop'"):
        clean_text("a", punctuation="drop")
    with pytest.raises(ValueError, match="clean_text: form is 'nfc'"):
        clean_text("a", form="nfc")

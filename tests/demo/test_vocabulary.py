"""Characters to ids and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attendo.demo.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

TEXTS = ["2026年11月20日", "a", "", "zz", "𝄞a"]


def test_the_special_ids():
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert len(Vocabulary("ab")) == 6
    assert Vocabulary("ba") == Vocabulary("ab") and hash(Vocabulary("ba")) == hash(Vocabulary("ab"))
    assert Vocabulary("ab") != Vocabulary("abc") and Vocabulary("ab") != "ab"


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
@pytest.mark.parametrize("length", [None, 20])
def test_encode_one_by_one(bos, eos, length):
    vocabulary = Vocabulary(TEXTS)
    ids = vocabulary.encode(TEXTS, length, bos=bos, eos=eos)
    assert ids.dtype == np.int64
    assert ids.shape == (len(TEXTS), length or max(map(len, TEXTS)) + bos + eos)
    for row, text in zip(ids.tolist(), TEXTS, strict=True):
        expected = [BOS] * bos + [4 + vocabulary.characters.index(letter) for letter in text] + [EOS] * eos
        assert row == expected + [PAD] * (len(row) - len(expected))
    assert vocabulary.decode(ids) == TEXTS


def test_unknown_characters():
    vocabulary = Vocabulary("abc")
    assert vocabulary.encode(["axb\0"]).tolist() == [[4, UNK, 5, UNK]]
    assert vocabulary.decode([[4, UNK, EOS, 5]]) == ["a\ufffd"]
    assert vocabulary.unknown("xaxy\0") == ["x", "y", "\0"]
    assert Vocabulary("").encode(["ab"]).tolist() == [[UNK, UNK]]


def test_nothing_to_encode():
    assert Vocabulary("a").encode([]).shape == (0, 0)
    assert Vocabulary("a").encode(["", ""], bos=True, eos=True).tolist() == [[BOS, EOS], [BOS, EOS]]
    assert Vocabulary("a").decode(np.zeros((0, 3), dtype=np.int64)) == []


def test_json_round_trip():
    vocabulary = Vocabulary(TEXTS)
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary
    for bad in (None, [], {}, {"characters": 3}):
        with pytest.raises(ValueError, match='must be an object with the string "characters"'):
            Vocabulary.from_json(bad)


def test_errors():
    vocabulary = Vocabulary("ab")
    with pytest.raises(ValueError, match="length: the longest text needs 3 places but length is 2"):
        vocabulary.encode(["ab"], 2, eos=True)
    with pytest.raises(TypeError, match="texts: give a list of strings"):
        vocabulary.encode("ab")
    with pytest.raises(ValueError, match=r"ids: must have shape \(texts, length\), not \(2,\)"):
        vocabulary.decode([4, 5])
    for token in (6, -1):
        with pytest.raises(ValueError, match=f"ids: {token} is not below the vocabulary's size, 6"):
            vocabulary.decode([[token]])
    with pytest.raises(ValueError, match="null character"):
        Vocabulary("a\0")

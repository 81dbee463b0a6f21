"""BLEU and chrF: against sacrebleu itself, by hand, and what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import attendo as at

metrics = at.metrics
sacrebleu = pytest.importorskip("sacrebleu", reason="BLEU is compared where sacrebleu is installed")

TEXTS = ["The cat sat on the mat.", "A dog barks!", "it rains"]
REFERENCES = ["The cat sat on a mat.", "The dog barks!", "it is raining"]
OTHERS = ["A cat is sitting on the mat.", "A dog is barking!", "it rains"]


def test_one_reference_each():
    assert metrics.bleu(TEXTS, REFERENCES) == sacrebleu.corpus_bleu(TEXTS, [REFERENCES]).score
    assert metrics.chrf(TEXTS, REFERENCES) == sacrebleu.corpus_chrf(TEXTS, [REFERENCES]).score
    lower = sacrebleu.corpus_bleu(TEXTS, [REFERENCES], lowercase=True, tokenize="char").score
    assert metrics.bleu(TEXTS, REFERENCES, lowercase=True, tokenize="char") == lower


def test_several_references_are_given_by_sentence():
    pairs = [list(pair) for pair in zip(REFERENCES, OTHERS, strict=True)]
    assert metrics.bleu(TEXTS, pairs) == sacrebleu.corpus_bleu(TEXTS, [REFERENCES, OTHERS]).score
    assert metrics.chrf(TEXTS, pairs) == sacrebleu.corpus_chrf(TEXTS, [REFERENCES, OTHERS]).score
    # Not every sentence needs as many.
    some = [pairs[0], REFERENCES[1], [REFERENCES[2]]]
    theirs = sacrebleu.corpus_bleu(TEXTS, [REFERENCES, [OTHERS[0], None, None]]).score
    assert metrics.bleu(TEXTS, some) == theirs


def test_by_hand():
    # 5 of 6 words, 3 of 5 pairs, 2 of 4, 1 of 3, and no brevity penalty.
    score = metrics.bleu(["the cat sat on the mat"], ["the cat sat on a mat"])
    assert score == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    short = metrics.bleu(["a b c d"], ["a b c d e f g h"])
    assert short == pytest.approx(100 * np.exp(1 - 8 / 4))
    assert metrics.bleu([""], ["a b"]) == 0


def test_ids_are_words():
    as_text = metrics.bleu(["a b c d e f"], ["a b c d x f"], tokenize="none")
    ids = np.array([[1, 5, 6, 7, 8, 9, 10, 2, 0, 0]])
    assert metrics.bleu(ids, [[5, 6, 7, 8, 99, 10]], ignore_ids=[0, 1], end_id=2) == as_text
    assert metrics.bleu(ids, [[[5, 6, 7, 8, 99, 10], [3]]], ignore_ids=[0, 1], end_id=2) == as_text
    # What stands behind the end does not count, whatever it is.
    ids[0, -2:] = 77
    assert metrics.bleu(ids, [[5, 6, 7, 8, 99, 10]], ignore_ids=[0, 1], end_id=2) == as_text


def test_a_score_says_what_it_depends_on():
    score = metrics.bleu(TEXTS, REFERENCES)
    assert "tok:13a" in score.signature and score.text.startswith("BLEU = ")
    again = copy.copy(score)
    assert again == score and again.signature == score.signature


@pytest.mark.parametrize(
    ("prediction", "reference", "error", "words"),
    [
        ("a text", ["a text"], TypeError, "prediction is a str"),
        (["a"], "a", TypeError, "reference is a str"),
        (
            ["a", "b", "c"],
            [["a", "b", "c"]],
            ValueError,
            "prediction has 3 texts but reference has 1 entries",
        ),
        ([], [], ValueError, "prediction is empty"),
        ([None], ["a"], TypeError, r"prediction\[0\] is None"),
        (["a"], [None], TypeError, r"reference\[0\] is None"),
        (["a"], [[]], TypeError, r"(reference\[0\]|some of the texts)"),
        (["a"], [[1, 2]], TypeError, "some of the texts are strings and some are ids"),
        (np.zeros((1, 2)), [[1, 2]], TypeError, r"prediction\[0\] is array"),
    ],
)
def test_what_is_no_corpus_is_named(prediction, reference, error, words):
    for function in (metrics.bleu, metrics.chrf):
        with pytest.raises(error, match=f"{function.__name__}: {words}"):
            function(prediction, reference)


def test_options_that_do_not_belong_are_named():
    with pytest.raises(ValueError, match="tokenize is for texts"):
        metrics.bleu([[1]], [[1]], tokenize="13a")
    with pytest.raises(ValueError, match="ignore_ids and end_id are for ids"):
        metrics.bleu(["a"], ["a"], end_id=2)
    for options in ({"tokenize": "moses"}, {"smooth": "laplace"}, {"max_order": 0}):
        (name,) = options
        with pytest.raises(ValueError, match=f"bleu: {name} is"):
            metrics.bleu(["a"], ["a"], **options)
    with pytest.raises(ValueError, match="chrf: char_order is 0"):
        metrics.chrf(["a"], ["a"], char_order=0)
    with pytest.raises(TypeError, match="chrf: prediction is ids"):
        metrics.chrf([[1]], [[1]])

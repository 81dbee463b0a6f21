"""Words and neighbours for Word2Vec."""

import numpy as np
import pytest

import attendo as at
from attendo.text import cbow_pairs, skip_gram_pairs

TEXTS = [[7, 8, 9, 8], [], [4, 5], [3], [0, 7, 7, 1, 2, 6, 0]]


def by_hand(texts, window):
    """Every word, its neighbours before it and behind it, each word by word."""
    for text in texts:
        for i, word in enumerate(text):
            before = [text[j] for j in range(max(0, i - window), i)]
            behind = [text[j] for j in range(i + 1, min(len(text), i + window + 1))]
            yield word, before, behind


@pytest.mark.parametrize("window", [1, 2, 3, 6, 7, 50])
def test_skip_gram(window):
    words, neighbours = skip_gram_pairs(TEXTS, window)
    assert words.dtype == neighbours.dtype == np.int64
    expected = [(w, n) for w, before, behind in by_hand(TEXTS, window) for n in before + behind]
    assert list(zip(words.tolist(), neighbours.tolist(), strict=True)) == expected


@pytest.mark.parametrize("window", [1, 2, 3, 6, 7, 50])
def test_cbow(window):
    neighbours, words = cbow_pairs(TEXTS, window)
    reach = min(window, 6)
    assert neighbours.shape == (len(words), 2 * reach)
    rows = [(w, a, b) for w, a, b in by_hand(TEXTS, window) if a or b]
    assert words.tolist() == [w for w, _, _ in rows]
    for got, (_, before, behind) in zip(neighbours.tolist(), rows, strict=True):
        assert got == [-1] * (reach - len(before)) + before + behind + [-1] * (reach - len(behind))


def test_padding_is_left_out():
    padded = np.array([[0, 0, 7, 8, 9], [4, 5, 0, 0, 0]])
    for pairs in (skip_gram_pairs, cbow_pairs):
        got, expected = pairs(padded, 2, pad_id=0), pairs([[7, 8, 9], [4, 5]], 2)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_drawn_windows():
    """The share of pairs at distance d is that of windows of d or more; both sides have the same window."""
    text = np.arange(20_000)
    words, neighbours = skip_gram_pairs([text], 4, seed=0)
    distance = neighbours - words
    for d in range(1, 5):
        before, behind = (distance == -d).sum(), (distance == d).sum()
        assert abs(before / 20_000 - (5 - d) / 4) < 0.02 and abs(before - behind) <= 4
    again = skip_gram_pairs([text], 4, seed=0)[1]
    np.testing.assert_array_equal(again, neighbours)
    assert len(skip_gram_pairs([text], 4, seed=1)[1]) != len(neighbours)


@pytest.mark.parametrize("texts", [[], [[]], [[5]], np.zeros((0, 4), int)], ids=str)
def test_no_pairs(texts):
    assert [x.shape for x in skip_gram_pairs(texts)] == [(0,), (0,)]
    neighbours, words = cbow_pairs(texts)
    assert len(neighbours) == len(words) == 0 and neighbours.ndim == 2


@pytest.mark.parametrize("mode", ["skip_gram", "cbow"])
def test_word_vectors_of_a_text(mode):
    """Words of one topic, which stand together, get vectors that point the same way."""
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 5, (300, 8)) + 5 * rng.integers(0, 2, (300, 1))
    first, second = skip_gram_pairs(texts, 3) if mode == "skip_gram" else cbow_pairs(texts, 3)
    model = at.models.Word2Vec(10, 8, mode, seed=0)
    trainer = at.train.Trainer(model, at.losses.Mean(), at.optim.Adam(lr=0.05), seed=0)
    trainer.fit((first, second), second, epochs=4, batch_size=64, progress=False)
    for word in (2, 8):
        ids, _ = model.most_similar(word, k=4)
        assert sorted([word, *ids.tolist()]) == list(range(word // 5 * 5, word // 5 * 5 + 5))


@pytest.mark.parametrize(
    ("texts", "options", "error", "says"),
    [
        ([[1, 2]], {"window": 0}, ValueError, "window is 0 but must be 1 or more"),
        ([[1, 2]], {"window": 2.0}, TypeError, "window is a float but must be an int"),
        ([[1, 2]], {"window": None}, TypeError, "window is a NoneType"),
        ([[1, 2]], {"pad_id": "0"}, TypeError, "pad_id is a str"),
        ([1, 2], {}, ValueError, r"sequences\[0\] has shape \(\) but must be one sequence of ids"),
        ([[1], [[2]]], {}, ValueError, r"sequences\[1\] has shape \(1, 1\)"),
        ([[1.5]], {}, TypeError, r"sequences\[0\] has dtype float64 but must be of integers"),
        (["ab"], {}, ValueError, r"sequences\[0\] has shape \(\)"),
        ([np.array([2**63], np.uint64)], {}, ValueError, r"sequences\[0\] holds 9223372036854775808"),
        ([[3, -1]], {}, ValueError, r"sequences\[0\] holds -1 but ids must be 0 or more"),
    ],
)
def test_wrong_input(texts, options, error, says):
    for pairs in (skip_gram_pairs, cbow_pairs):
        with pytest.raises(error, match=f"^{pairs.__name__}: {says}"):
            pairs(texts, **options)


def test_a_window_wider_than_memory():
    assert skip_gram_pairs([[1, 2]], 2**80, seed=0)[0].tolist() == [1, 2]
    assert cbow_pairs([[1, 2]], 2**50)[0].tolist() == [[-1, 2], [1, -1]]
    # The largest id there is.
    assert skip_gram_pairs([np.array([2**63 - 1, 0])], 1)[0].max() == 2**63 - 1

"""Sequences as one array, and pairs of inputs and targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attendo.text import next_token_pairs, pad_sequences
from tolerance import assert_same_bits

ROWS = [[1], [2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [  # the first four: the page of keras.utils.pad_sequences
        ({}, [[0, 0, 1], [0, 2, 3], [4, 5, 6]]),
        ({"value": -1}, [[-1, -1, 1], [-1, 2, 3], [4, 5, 6]]),
        ({"padding": "post"}, [[1, 0, 0], [2, 3, 0], [4, 5, 6]]),
        ({"maxlen": 2}, [[0, 1], [2, 3], [5, 6]]),
        ({"maxlen": 2, "truncating": "post"}, [[0, 1], [2, 3], [4, 5]]),
        ({"maxlen": 2, "padding": "post", "truncating": "post"}, [[1, 0], [2, 3], [4, 5]]),
        ({"maxlen": 4, "padding": "post"}, [[1, 0, 0, 0], [2, 3, 0, 0], [4, 5, 6, 0]]),
        ({"maxlen": 0}, [[], [], []]),
    ],
)
def test_golden(options, expected):
    assert_same_bits(pad_sequences(ROWS, **options), np.array(expected, np.int32).reshape(3, -1))


def test_types_and_shapes():
    assert pad_sequences([]).shape == (0, 0) and pad_sequences([], maxlen=3).shape == (0, 3)
    assert pad_sequences([[], []], maxlen=2).tolist() == [[0, 0], [0, 0]]
    assert pad_sequences([[1.5], [2, 3]], dtype="float64", value=np.nan)[0, 1] == 1.5
    out = pad_sequences([np.ones((2, 3)), np.ones((1, 3)), []], dtype="float32")
    assert out.shape == (3, 2, 3) and out.dtype == np.float32 and out[1, 0].sum() == 0
    assert pad_sequences([["a", "bc"], ["d"]], dtype=object, value="<pad>").tolist() == [
        ["a", "bc"],
        ["<pad>", "d"],
    ]
    assert pad_sequences(iter(ROWS)).shape == (3, 3)
    assert pad_sequences([(1, 2), range(3)]).tolist() == [[0, 1, 2], [0, 1, 2]]


@given(
    st.lists(st.lists(st.integers(1, 99), max_size=6), max_size=5),
    st.none() | st.integers(0, 7),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
)
def test_against_lists(rows, maxlen, padding, truncating):
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    expected = []
    for row in rows:
        kept = row[:length] if truncating == "post" else row[len(row) - min(length, len(row)) :]
        zeros = [0] * (length - len(kept))
        expected.append(zeros + kept if padding == "pre" else kept + zeros)
    got = pad_sequences(rows, maxlen, padding=padding, truncating=truncating)
    assert got.tolist() == expected


def test_bad_arguments():
    for options in ({"padding": "left"}, {"truncating": True}, {"maxlen": -1}):
        with pytest.raises(ValueError, match=f"pad_sequences: {next(iter(options))} is"):
            pad_sequences(ROWS, **options)
    for rows in ([1, 2], ["ab", "c"], [[1], 2]):
        with pytest.raises(
            ValueError, match=r"pad_sequences: sequences\[\d\] is a .* but must be a sequence"
        ):
            pad_sequences(rows)
    with pytest.raises(ValueError, match=r"pad_sequences: entries of sequences\[1\] have shape \(2,\)"):
        pad_sequences([[[1, 2, 3]], [[1, 2]]])


def test_next_token_pairs():
    inputs, targets = next_token_pairs(np.arange(8).reshape(2, 4))
    assert inputs.tolist() == [[0, 1, 2], [4, 5, 6]] and targets.tolist() == [[1, 2, 3], [5, 6, 7]]
    inputs, targets = next_token_pairs([5, 6])
    assert inputs.tolist() == [5] and targets.tolist() == [6]
    assert next_token_pairs([[7]])[1].shape == (1, 0)
    ids = np.arange(3)
    next_token_pairs(ids)[0][0] = 9
    assert ids.tolist() == [0, 1, 2]
    for wrong in (3, [], [[]]):
        with pytest.raises(ValueError, match=r"next_token_pairs: ids has shape .* but must be \(\.\.\., L\)"):
            next_token_pairs(wrong)
    with pytest.raises(TypeError, match="next_token_pairs: ids has dtype float64 but must be of integers"):
        next_token_pairs([1.0, 2.0])

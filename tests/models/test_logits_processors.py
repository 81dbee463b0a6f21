"""What the options do to logits: against the reference, and one by one against transformers."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from table_model import import_transformers
from tolerance import assert_close

V = 13


def logits(rows=4, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).standard_normal((rows, V)) * 3).astype(dtype)


def tokens(rows=4, length=9, seed=1, high=V):
    return np.random.default_rng(seed).integers(0, high, (rows, length))


OPTIONS = [
    {},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.5},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"bad_words": [[3], [0, 1], [1, 2, 4]]},
    {"bad_words": [[5], [6]], "eos_id": [5]},
    {"min_new_tokens": 2, "eos_id": [1, 7]},
    {"forced_bos_id": 4},
    {"forced_eos_id": 6, "max_new_tokens": 1},
    {"suppress": [0, 12]},
    {"temperature": 0.3},
    {"temperature": 5.0},
    {"top_k": 1},
    {"top_k": 4},
    {"top_k": 99},
    {"top_p": 0.0},
    {"top_p": 0.3},
    {"top_p": 0.95},
    {"top_p": 1.0},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {
        "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "bad_words": [[2, 3], [4]], "min_new_tokens": 1,
        "eos_id": [0], "suppress": [9], "temperature": 1.5, "top_k": 8, "top_p": 0.9, "min_p": 0.02,
    },
]  # fmt: skip


@pytest.mark.parametrize("high", [V, 3], ids=["many tokens", "three tokens"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_reference(options, dtype, high):
    x = logits(dtype=dtype)
    for length in (1, 2, 9):
        ids = tokens(length=length, high=high)
        got = at.models.process_logits(x, ids, **options)
        expected = [
            reference.logits_processors(row.astype(np.float64), history.tolist(), length, **options)
            for row, history in zip(x, ids, strict=True)
        ]
        assert got.dtype == np.float64
        assert_close(got, np.array(expected))


def test_the_last_tokens_decide_bad_words_and_grams():
    x = np.zeros((1, V))
    assert at.models.process_logits(x, [[1, 2, 5, 1, 2]], no_repeat_ngram_size=3)[0, 5] == -np.inf
    assert (at.models.process_logits(x, [[1, 2, 5, 2, 1]], no_repeat_ngram_size=3) == 0).all()
    assert at.models.process_logits(x, [[7, 8]], bad_words=[[7, 8, 9]])[0, 9] == -np.inf
    assert (at.models.process_logits(x, [[8]], bad_words=[[7, 8, 9]]) == 0).all()


def test_where_the_prompt_ends_counts():
    x, ids = logits(1), tokens(1, 5)
    for given, forbidden in ((5, True), (4, True), (3, False)):
        out = at.models.process_logits(x, ids, prompt_length=given, eos_id=2, min_new_tokens=2)
        assert (out[0, 2] == -np.inf) is np.bool_(forbidden)
    first = at.models.process_logits(x, ids, prompt_length=4, forced_bos_id=3)
    assert np.isfinite(first).all()
    last = at.models.process_logits(x, ids, prompt_length=3, forced_eos_id=3, max_new_tokens=3)
    assert np.isfinite(last).sum() == 1


def test_ties():
    """top-k keeps what equals the k-th; top-p takes the first of equal ones."""
    x = np.zeros((1, 4))
    assert np.isfinite(at.models.process_logits(x, [[0]], top_k=2)).all()
    assert np.isfinite(at.models.process_logits(x, [[0]], top_p=0.5)).tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_extreme_numbers(scale):
    x = np.array([[0.0, 1.0, 2.0, -np.inf]]) * scale
    for options in ({"temperature": 1e-300}, {"temperature": 1e300}, {"top_p": 0.5}, {"min_p": 0.5}):
        out = at.models.process_logits(x, [[0]], **options)
        assert not np.isnan(out).any() and out.max() < np.inf and out[0, 3] == -np.inf


@pytest.mark.parametrize("option", [o for o in OPTIONS if o], ids=str)
def test_transformers(option):
    """Each class of theirs on its own, in their order, against all of ours at once."""
    import_transformers()
    import torch
    from transformers.generation import logits_process as theirs

    x, ids = logits(dtype=np.float32), tokens(high=4)
    o = {"eos_id": [], **option}
    chain = []
    if "repetition_penalty" in o:
        chain.append(theirs.RepetitionPenaltyLogitsProcessor(o["repetition_penalty"]))
    if "no_repeat_ngram_size" in o:
        chain.append(theirs.NoRepeatNGramLogitsProcessor(o["no_repeat_ngram_size"]))
    if "bad_words" in o:
        chain.append(theirs.NoBadWordsLogitsProcessor(o["bad_words"], o["eos_id"] or None))
    if "min_new_tokens" in o:
        chain.append(theirs.MinNewTokensLengthLogitsProcessor(9, o["min_new_tokens"], o["eos_id"]))
    if "forced_bos_id" in o:
        ids = ids[:, :1]
        chain.append(theirs.ForcedBOSTokenLogitsProcessor(o["forced_bos_id"]))
    if "forced_eos_id" in o:
        chain.append(theirs.ForcedEOSTokenLogitsProcessor(10, o["forced_eos_id"]))
    if "suppress" in o:
        chain.append(theirs.SuppressTokensLogitsProcessor(o["suppress"]))
    if "temperature" in o:
        chain.append(theirs.TemperatureLogitsWarper(o["temperature"]))
    if "top_k" in o:
        chain.append(theirs.TopKLogitsWarper(o["top_k"]))
    if "top_p" in o:
        chain.append(theirs.TopPLogitsWarper(o["top_p"]))
    if "min_p" in o:
        chain.append(theirs.MinPLogitsWarper(o["min_p"]))
    expected = torch.tensor(x)
    for one in chain:
        expected = one(torch.tensor(ids), expected)
    got = at.models.process_logits(x, ids, **option)
    if "temperature" in o:
        expected = expected - expected.amax(-1, keepdim=True)
    assert_close(got.astype(np.float32), expected.numpy(), scale=20.0)


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        (
            {"temperature": 0},
            ValueError,
            "temperature is 0 but must be a finite number above 0; do_sample=False",
        ),
        ({"temperature": float("nan")}, ValueError, "temperature is nan"),
        ({"temperature": float("inf")}, ValueError, "temperature is inf"),
        ({"temperature": -1}, ValueError, "temperature is -1"),
        ({"temperature": "hot"}, TypeError, "temperature is a str but must be a number"),
        ({"top_p": 1.1}, ValueError, r"top_p is 1.1 but must be 0 to 1"),
        ({"top_p": float("nan")}, ValueError, "top_p is nan"),
        ({"min_p": -0.1}, ValueError, "min_p is -0.1"),
        ({"top_k": -1}, ValueError, "top_k is -1 but must be 0 or more"),
        ({"top_k": 2.0}, TypeError, "top_k is a float"),
        (
            {"repetition_penalty": 0},
            ValueError,
            "repetition_penalty is 0 but must be a finite number above 0",
        ),
        ({"repetition_penalty": float("inf")}, ValueError, "repetition_penalty is inf"),
        ({"repetition_penalty": 1e-320}, ValueError, "the score of token .* is -?inf"),
        ({"no_repeat_ngram_size": -2}, ValueError, "no_repeat_ngram_size is -2"),
        ({"eos_id": V}, ValueError, "eos_id is 13 but must be 0 to 12"),
        ({"eos_id": [1, -1]}, ValueError, "eos_id holds -1 but must hold 0 or more"),
        ({"eos_id": "a"}, TypeError, "eos_id is a str"),
        ({"suppress": [V]}, ValueError, "suppress holds 13"),
        ({"suppress": 3}, TypeError, "suppress is a int but must be a list of token ids"),
        ({"suppress": list(range(V))}, ValueError, "every token of row 0 is forbidden"),
        ({"bad_words": [[1, V]]}, ValueError, "bad_words holds 13"),
        ({"bad_words": [[]]}, ValueError, "bad_words holds a sequence without tokens"),
        ({"bad_words": [1]}, TypeError, "bad_words is a int"),
        ({"forced_bos_id": V}, ValueError, "forced_bos_id is 13"),
        ({"forced_eos_id": -1}, ValueError, "forced_eos_id is -1"),
        ({"prompt_length": 10}, ValueError, "prompt_length is 10 but must be 0 to 9"),
        ({"colour": 1}, TypeError, "there is no option 'colour'"),
    ],
    ids=str,
)
def test_wrong_options(option, error, says):
    with pytest.raises(error, match=f"^process_logits: {says}"):
        at.models.process_logits(logits() + 100, tokens(), **option)


@pytest.mark.parametrize(
    ("x", "ids", "error", "says"),
    [
        (np.full((1, 3), np.nan), [[0]], ValueError, "the logits of row 0 hold nan for token 0"),
        ([[0.0, np.inf]], [[0]], ValueError, "the logits of row 0 hold inf for token 1"),
        (np.full((1, 3), -np.inf), [[0]], ValueError, "every token of row 0 is forbidden"),
        (
            np.zeros((2, 3)),
            [[0]],
            ValueError,
            r"the logits have shape \(2, 3\) but must be \(1, vocabulary\)",
        ),
        (np.zeros((1, 0)), [[0]], ValueError, r"the logits have shape \(1, 0\)"),
        (np.zeros((1, 3)), [0], ValueError, r"ids has shape \(1,\)"),
        (np.zeros((1, 3)), [[]], (ValueError, TypeError), "ids"),
        (np.zeros((1, 3)), [[0.5]], TypeError, "ids has dtype float64"),
    ],
)
def test_wrong_arrays(x, ids, error, says):
    with pytest.raises(error, match=f"^process_logits: .*{says}"):
        at.models.process_logits(x, ids)

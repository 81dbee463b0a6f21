"""Beam search: against the reference and transformers; batches, ends, what it returns."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from table_model import generated, import_transformers, in_transformers, logits_of, step_of, tables

EARLY = pytest.mark.parametrize("early_stopping", [False, True, "never"], ids=str)


def prompts(vocabulary, rows=3, length=2, seed=0):
    return np.random.default_rng(seed).integers(0, vocabulary, (rows, length))


def random_options(seed):
    """A configuration of beams, penalties and ends."""
    rng = np.random.default_rng(seed)
    vocabulary = int(rng.choice([5, 8, 40]))
    beams = int(rng.integers(2, 6))
    options = {
        "max_new_tokens": int(rng.integers(1, 13)),
        "num_beams": beams,
        "num_return_sequences": int(rng.integers(1, beams + 1)),
        "length_penalty": float(rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0])),
        "early_stopping": [False, True, "never"][rng.integers(3)],
    }
    if rng.random() < 0.9:
        ends = int(rng.integers(1, 3))
        options["eos_id"] = rng.choice(vocabulary, ends, replace=False).tolist()
        options["pad_id"] = int(rng.integers(1, vocabulary))  # transformers takes 0 for none given
        if rng.random() < 0.3:
            options["min_new_tokens"] = int(rng.integers(options["max_new_tokens"] + 1))
        if rng.random() < 0.2:
            options["forced_eos_id"] = options["eos_id"][0]
    if rng.random() < 0.3:
        options["repetition_penalty"] = float(rng.choice([0.8, 1.3]))
    if rng.random() < 0.3 and vocabulary > 8:
        options["no_repeat_ngram_size"] = int(rng.integers(1, 4))
    if rng.random() < 0.2:
        options["bad_words"] = [[int(rng.integers(vocabulary))], rng.integers(0, vocabulary, 2).tolist()]
    if rng.random() < 0.2 and vocabulary > 5:
        options["suppress"] = rng.choice(vocabulary, 2, replace=False).tolist()
    return vocabulary, options


def expected(table, prompt, options):
    o = dict(options)
    names = ("num_beams", "max_new_tokens", "length_penalty", "early_stopping")
    beams = {name: o.pop(name) for name in names if name in o}
    o.pop("num_return_sequences", None), o.pop("pad_id", None)

    def step(ids):
        scores = reference.log_softmax(logits_of(table, np.array([ids]))[0].astype(np.float64))
        return reference.logits_processors(
            scores, ids, len(prompt), max_new_tokens=beams["max_new_tokens"], **o
        )

    return reference.beam_search(step, prompt, eos_id=o.get("eos_id", ()), **beams)


@pytest.mark.parametrize("seed", range(60))
def test_against_reference(seed):
    vocabulary, options = random_options(seed)
    table = tables(vocabulary, seed)
    ids = prompts(vocabulary, seed=seed)
    got, scores = at.models.generate(step_of(table), ids, **options, return_scores=True)
    pad = options.get("pad_id", 0)
    wanted = options["num_return_sequences"]
    width = 0
    for b, prompt in enumerate(ids):
        best = expected(table, prompt.tolist(), options)
        for n in range(wanted):
            row, score = got[b * wanted + n], scores[b * wanted + n]
            if n >= len(best):
                assert score == -np.inf
                continue
            length = len(best[n][1])
            width = max(width, length)
            assert row[:length].tolist() == best[n][1] and (row[length:] == pad).all()
            np.testing.assert_allclose(score, best[n][0], rtol=1e-12)
    assert got.shape == (3 * wanted, width)


# 69 has two sums that agree to eight digits, which float32 orders as its rounding goes.
@pytest.mark.parametrize("seed", [seed for seed in range(80) if seed != 69])
def test_transformers(seed):
    """The same tokens and scores; theirs come from float32 sums."""
    import_transformers()
    vocabulary, options = random_options(seed)
    table = tables(vocabulary, seed)
    ids = prompts(vocabulary, seed=seed)
    theirs = generated(in_transformers(table), ids, **options)
    got, scores = at.models.generate(step_of(table), ids, **options, return_scores=True)
    found = scores > -np.inf
    their_scores = theirs.sequences_scores.numpy()
    assert (their_scores[~found] < -1e5).all()  # theirs are then beams that never were
    np.testing.assert_allclose(scores[found], their_scores[found], rtol=1e-4, atol=1e-5)
    their_ids = theirs.sequences.numpy()
    width = min(got.shape[1], their_ids.shape[1])
    np.testing.assert_array_equal(got[found, :width], their_ids[found, :width])
    pad = options.get("pad_id", 0)
    assert (got[found, width:] == pad).all() and (their_ids[found, width:] == pad).all()


def test_the_configurations_end_early_late_and_not_at_all():
    """Or the tests above would show little."""
    ends = set()
    for seed in range(60):
        vocabulary, options = random_options(seed)
        got = at.models.generate(step_of(tables(vocabulary, seed)), prompts(vocabulary, seed=seed), **options)
        new = options["max_new_tokens"]
        eos = options.get("eos_id", [])
        for row in got[:, 2:]:
            length = next((i + 1 for i, token in enumerate(row) if token in eos), len(row))
            ends.add("early" if length < new / 2 else "late" if length < new else "cut")
    assert ends == {"early", "late", "cut"}


@EARLY
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_of_a_batch_is_the_row_alone(early_stopping, threads):
    at.set_num_threads(threads)
    step, ids = step_of(tables(6, 3)), prompts(6, rows=9)
    options = {
        "max_new_tokens": 10, "num_beams": 3, "num_return_sequences": 2, "eos_id": 1, "pad_id": 9,
        "early_stopping": early_stopping, "return_scores": True,
    }  # fmt: skip
    got, scores = at.models.generate(step, ids, **options)
    for b in range(9):
        alone, score = at.models.generate(step, ids[b : b + 1], **options)
        np.testing.assert_array_equal(got[2 * b : 2 * b + 2, : alone.shape[1]], alone)
        assert (got[2 * b : 2 * b + 2, alone.shape[1] :] == 9).all()
        np.testing.assert_array_equal(scores[2 * b : 2 * b + 2], score)


@EARLY
def test_prompts_of_unequal_lengths(early_stopping):
    table = tables(7, 4)
    rows = [[1, 2, 3], [4], [5, 6], [0, 0, 0]]
    options = {
        "max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 2, "eos_id": [0, 5],
        "early_stopping": early_stopping, "pad_id": 6, "return_scores": True,
    }  # fmt: skip
    got, scores = at.models.generate(step_of(table), rows, **options)
    padded = [row + [-100] * (3 - len(row)) for row in rows]
    again, _ = at.models.generate(step_of(table), padded, lengths=[3, 1, 2, 3], **options)
    np.testing.assert_array_equal(again, got)
    for b, row in enumerate(rows):
        alone, score = at.models.generate(step_of(table), [row], **options)
        np.testing.assert_array_equal(got[2 * b : 2 * b + 2, : alone.shape[1]], alone)
        assert (got[2 * b : 2 * b + 2, alone.shape[1] :] == 6).all()
        np.testing.assert_array_equal(scores[2 * b : 2 * b + 2], score)


def test_all_sequences_within_reach_are_searched():
    """As many beams as sequences: the best ones of them all, in order."""
    table = tables(4, 5)
    step = step_of(table)
    got, scores = at.models.generate(
        step,
        [[2]],
        max_new_tokens=3,
        num_beams=64,
        num_return_sequences=64,
        length_penalty=0.0,
        return_scores=True,
    )
    every = {}
    for i in range(64):
        ids = [2, i // 16, i // 4 % 4, i % 4]
        log_p = [reference.log_softmax(logits_of(table, np.array([ids[:t]]))[0])[ids[t]] for t in (1, 2, 3)]
        every[tuple(ids)] = sum(log_p)
    assert {tuple(row) for row in got.tolist()} == set(every)
    np.testing.assert_allclose(scores, sorted(every.values(), reverse=True), rtol=1e-5)
    assert abs(np.exp(scores).sum() - 1) < 1e-5


def test_beams_find_better_sequences_than_greed():
    better = 0
    for seed in range(10):
        step = step_of(tables(20, seed))
        options = {"max_new_tokens": 8, "return_scores": True}
        greedy = at.models.generate(step, [[1]], **options)[1]
        beams = at.models.generate(step, [[1]], num_beams=5, length_penalty=0.0, **options)[1]
        assert beams >= greedy - 1e-12
        better += beams > greedy
    assert better > 3


def test_ties_go_to_the_lowest_index():
    got = at.models.generate(
        lambda ids: np.zeros((len(ids), 5)), [[3]], max_new_tokens=2, num_beams=3, num_return_sequences=3
    )
    assert got.tolist() == [[3, 0, 0], [3, 0, 1], [3, 0, 2]]


def test_stop_sequences():
    """One token to stop at is one more eos_id; two must come one after the other."""
    step = step_of(tables(6, 7))
    options = {
        "max_new_tokens": 12,
        "num_beams": 3,
        "num_return_sequences": 3,
        "pad_id": 0,
        "return_scores": True,
    }
    by_eos, scores = at.models.generate(step, [[1]], eos_id=[2, 4], **options)
    by_stop, same = at.models.generate(step, [[1]], eos_id=2, stop=[[4]], **options)
    np.testing.assert_array_equal(by_stop, by_eos)
    np.testing.assert_array_equal(same, scores)
    plain = at.models.generate(step, [[1]], **options)[0]
    pair = plain[0, 3:5].tolist()
    stopped = at.models.generate(step, [[1]], stop=[pair], early_stopping=True, **options)[0]
    new = stopped[0, 1:].tolist()
    first = next(i for i in range(len(new) - 1) if new[i : i + 2] == pair)
    assert set(new[first + 2 :]) <= {0}


def test_fewer_sequences_than_beams():
    """Two tokens, one step: two sequences, whatever num_beams says."""
    got, scores = at.models.generate(
        lambda ids: np.zeros((len(ids), 2)), [[1]], max_new_tokens=1, num_beams=4, num_return_sequences=4,
        pad_id=7, return_scores=True,
    )  # fmt: skip
    assert got.tolist() == [[1, 0], [1, 1], [1, 7], [1, 7]]
    assert np.isneginf(scores[2:]).all() and np.isfinite(scores[:2]).all()


def test_more_beams_than_tokens():
    got = at.models.generate(
        step_of(tables(2, 0)), [[1]], max_new_tokens=5, num_beams=9, num_return_sequences=9
    )
    assert len({tuple(row) for row in got.tolist()}) == 9


def test_nothing_to_generate():
    got, scores = at.models.generate(
        step_of(tables(4, 0)),
        [[1, 2]],
        max_new_tokens=0,
        num_beams=2,
        num_return_sequences=2,
        return_scores=True,
    )
    assert got.tolist() == [[1, 2], [1, 2]] and (scores == 0).all()
    empty = at.models.generate(step_of(tables(4, 0)), np.zeros((0, 2), int), max_new_tokens=3, num_beams=2)
    assert empty.shape == (0, 5)


def test_finished_rows_leave_the_batch():
    """A row whose first token is the end is not asked for again."""
    rows_seen = []

    def step(ids):
        rows_seen.append(len(ids))
        out = np.zeros((len(ids), 3))
        out[ids[:, 0] == 1, 0] = 50.0
        return out - np.array([20.0, 0, 0])

    at.models.generate(step, [[1], [2]], max_new_tokens=4, num_beams=2, eos_id=0, early_stopping=False)
    assert rows_seen[0] == 2 and rows_seen[1] == 4 and rows_seen[-1] == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_beams": 0}, "num_beams is 0 but must be 1 or more"),
        ({"num_beams": 10**6}, "num_beams is 1000000 but must be 1024 or less"),
        ({"num_beams": 2, "do_sample": True}, "num_beams is 2 and do_sample is True"),
        (
            {"num_beams": 2, "num_return_sequences": 3},
            "num_return_sequences is 3 but must be num_beams, 2",
        ),
        ({"num_beams": 2, "length_penalty": float("nan")}, "length_penalty is nan"),
        (
            {"num_beams": 2, "early_stopping": "always"},
            "early_stopping is 'always' but must be True, False or 'never'",
        ),
        ({"num_beams": 2, "early_stopping": 1}, "early_stopping is 1"),
        ({"num_beams": 2, "eos_id": 4}, "eos_id is 4 but must be 0 to 3"),
        ({"num_beams": 2, "suppress": [0, 1, 2, 3]}, "every continuation of row 0 is forbidden"),
    ],
    ids=str,
)
def test_wrong_options(options, says):
    with pytest.raises(ValueError, match=f"^generate: {says}"):
        at.models.generate(step_of(tables(4, 0)), [[1]], max_new_tokens=3, **options)


@pytest.mark.parametrize("penalty", [-1e5, 1e5, 400.0])
def test_extreme_penalties(penalty):
    got = at.models.generate(
        step_of(tables(4, 0)), [[1]], max_new_tokens=5, num_beams=3, eos_id=2, length_penalty=penalty
    )
    assert got.shape[0] == 1

"""Greedy decoding, sampling and streaming with a model in Python: ends, batches, distributions, bad input."""

import threading

import numpy as np
import pytest

import attendo as at
from attendo import reference
from table_model import generated, import_transformers, in_transformers, logits_of, step_of, tables
from tolerance import assert_close

V = 7
EVERY_FILTER = [
    {},
    {"temperature": 0.4},
    {"temperature": 3.0},
    {"top_k": 3},
    {"top_p": 0.7},
    {"min_p": 0.2},
    {"temperature": 2.0, "top_k": 5, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.5},
]


def prompts(rows=4, length=3, seed=0, vocabulary=V):
    return np.random.default_rng(seed).integers(0, vocabulary, (rows, length))


# ----------------------------------------------------------------------------------------------------- greedy


@pytest.mark.parametrize("eos", [[], [2], [0, 5]], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_greedy_against_reference(seed, eos):
    table, ids = tables(V, seed), prompts(seed=seed)
    got = at.models.generate(step_of(table), ids, max_new_tokens=9, eos_id=eos, pad_id=6)
    rows = [
        reference.decoding(lambda ids: logits_of(table, np.array([ids]))[0], row.tolist(), 9, eos)
        for row in ids
    ]
    assert got.dtype == np.int64 and got.flags.writeable
    assert got.tolist() == [row + [6] * (max(map(len, rows)) - len(row)) for row in rows]


@pytest.mark.parametrize("seed", range(20))
def test_greedy_transformers(seed):
    import_transformers()
    rng = np.random.default_rng(seed)
    options = {
        "max_new_tokens": int(rng.integers(1, 15)),
        "eos_id": rng.choice(V, 2, replace=False).tolist(),
        "pad_id": 3,
    }
    if seed % 2:
        options["repetition_penalty"] = float(rng.choice([0.7, 1.2, 2.0]))
    if seed % 3 == 0:
        options["no_repeat_ngram_size"] = 2
    if seed % 5 == 0:
        options["min_new_tokens"] = 1
    table, ids = tables(V, seed), prompts(seed=seed)
    got, scores = at.models.generate(step_of(table), ids, **options, return_scores=True)
    model = in_transformers(table)
    theirs = generated(model, ids, **options)
    np.testing.assert_array_equal(got, theirs.sequences.numpy())
    each = model.compute_transition_scores(theirs.sequences, theirs.scores, normalize_logits=True).numpy()
    for row, score, log_p in zip(got[:, 3:], scores, each, strict=True):
        length = next((i + 1 for i, token in enumerate(row) if token in options["eos_id"]), len(row))
        np.testing.assert_allclose(score, log_p[:length].sum(), rtol=1e-4, atol=1e-5)


def test_ties_go_to_the_lowest_id():
    got = at.models.generate(lambda ids: np.zeros((len(ids), 4)), [[3]], max_new_tokens=2)
    assert got.tolist() == [[3, 0, 0]]


@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "seed": 5}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_of_a_batch_is_the_row_alone(sampling, threads):
    at.set_num_threads(threads)
    step, ids = step_of(tables(V, 0, 1.0)), prompts(17)
    options = {"max_new_tokens": 11, "eos_id": 2, "pad_id": 6, "return_scores": True, **sampling}
    got, scores = at.models.generate(step, ids, **options)
    lengths = set()
    for b in range(17):
        alone, score = at.models.generate(step, ids[b : b + 1], **options)
        np.testing.assert_array_equal(got[b, : alone.shape[1]], alone[0])
        assert (got[b, alone.shape[1] :] == 6).all() and scores[b] == score[0]
        lengths.add(alone.shape[1])
    assert len(lengths) > 2


@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "seed": [3, 1, 4]}], ids=["greedy", "sampled"])
def test_prompts_of_unequal_lengths(sampling):
    step = step_of(tables(V, 2, 1.0))
    rows = [[1, 2, 3, 4], [5], [6, 0]]
    options = {"max_new_tokens": 7, "eos_id": 3, "pad_id": 0, "repetition_penalty": 1.3, **sampling}
    got = at.models.generate(step, rows, **options)
    padded = [[1, 2, 3, 4], [5, -1, 99, 0], [6, 0, 3, 3]]
    np.testing.assert_array_equal(at.models.generate(step, padded, lengths=[4, 1, 2], **options), got)
    for b, row in enumerate(rows):
        own = {**options, **({"seed": options["seed"][b]} if sampling else {})}
        alone = at.models.generate(step, [row], **own)
        np.testing.assert_array_equal(got[b, : alone.shape[1]], alone[0])
        assert (got[b, alone.shape[1] :] == 0).all()


def test_nothing_to_generate():
    def never(ids):
        raise AssertionError("not to be called")

    for options in ({}, {"do_sample": True, "num_return_sequences": 2}):
        got = at.models.generate(never, [[1, 2]], max_new_tokens=0, **options)
        assert got.tolist() == [[1, 2]] * options.get("num_return_sequences", 1)
    step = step_of(tables(V, 0))
    assert at.models.generate(step, np.zeros((0, 2), int), max_new_tokens=3).shape == (0, 5)


def test_stop_sequences_end_a_row():
    step = step_of(tables(V, 3))
    plain = at.models.generate(step, [[1]], max_new_tokens=10)[0]
    stop = plain[3:5].tolist()
    first = next(i for i in range(1, 10) if plain[i : i + 2].tolist() == stop)
    stopped = at.models.generate(step, [[1], [1]], max_new_tokens=10, stop=[[9 % V] * 11, stop], pad_id=9)
    assert stopped.tolist() == [plain[: first + 2].tolist()] * 2
    prompt_has_it = at.models.generate(step, [stop], max_new_tokens=3, stop=[stop])
    assert prompt_has_it.shape[1] > 2


def test_padding():
    def step(ids):
        return np.eye(5)[(ids[:, -1] + 1) % 5]

    rows = [[0], [2]]
    for options, pad in (({}, 4), ({"pad_id": 0}, 0), ({"pad_id": -1}, -1), ({"pad_id": 77}, 77)):
        got = at.models.generate(step, rows, max_new_tokens=4, eos_id=4, **options)
        assert got.tolist() == [[0, 1, 2, 3, 4], [2, 3, 4, pad, pad]]


def test_finished_rows_leave_the_batch():
    seen = []

    def step(ids):
        seen.append(len(ids))
        return np.eye(9)[ids[:, -1] - 1]

    got = at.models.generate(step, [[2], [4], [3], [8]], max_new_tokens=9, eos_id=0, pad_id=0)
    assert seen == [4, 4, 4, 2, 1, 1, 1, 1]
    assert [int((row > 0).sum()) for row in got] == [2, 4, 3, 8]


# --------------------------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("options", EVERY_FILTER, ids=str)
def test_frequencies_are_the_probabilities(options):
    """20,000 draws; chi-squared below its mean and five deviations."""
    table, draws = tables(V, 11, 0.8), 20_000
    logits = logits_of(table, np.array([[3, 1]]))
    scores = reference.logits_processors(logits[0].astype(np.float64), [3, 1], 2, **options)
    probabilities = np.exp(reference.log_softmax(scores))
    got = at.models.generate(
        step_of(table),
        [[3, 1]],
        max_new_tokens=1,
        do_sample=True,
        seed=0,
        num_return_sequences=draws,
        **options,
    )[:, 2]
    counts = np.bincount(got, minlength=V)
    assert (counts[probabilities == 0] == 0).all()
    possible = probabilities > 0
    wanted = draws * probabilities[possible]
    chi = ((counts[possible] - wanted) ** 2 / wanted).sum()
    freedom = possible.sum() - 1
    assert chi <= freedom + 5 * np.sqrt(2 * freedom)
    np.testing.assert_allclose(
        np.exp(
            at.models.process_logits(logits, [[3, 1]], **options)[0]
            - np.log(np.exp(at.models.process_logits(logits, [[3, 1]], **options)).sum())
        ),
        probabilities,
        rtol=1e-9,
    )


def test_steps_are_independent():
    """Pairs of tokens of a model without memory."""
    probabilities = np.array([0.5, 0.3, 0.2])
    got = at.models.generate(
        lambda ids: np.tile(np.log(probabilities), (len(ids), 1)), [[0]], max_new_tokens=2,
        do_sample=True, seed=1, num_return_sequences=20_000,
    )[:, 1:]  # fmt: skip
    counts = np.bincount(got[:, 0] * 3 + got[:, 1], minlength=9)
    wanted = 20_000 * np.outer(probabilities, probabilities).ravel()
    assert ((counts - wanted) ** 2 / wanted).sum() <= 8 + 5 * 4


def test_against_reference_with_the_same_numbers():
    """The draws are the first numbers of philox at (seed, sample, step), and nothing else decides."""
    table, ids = tables(V, 2, 1.0), [[1, 2]]
    samples = at.models.generate(
        step_of(table), ids, max_new_tokens=5, do_sample=True, seed=9, num_return_sequences=6
    )
    assert len({tuple(row) for row in samples.tolist()}) > 1
    few = at.models.generate(
        step_of(table), ids, max_new_tokens=3, do_sample=True, seed=9, num_return_sequences=3
    )
    np.testing.assert_array_equal(few, samples[:3, :5])
    for row in samples:
        numbers = []
        for t in range(5):  # from the middle of what each token's share was
            cumulated = np.cumsum(np.exp(reference.log_softmax(logits_of(table, row[None, : 2 + t])[0])))
            numbers.append((cumulated[row[2 + t]] + (cumulated[row[2 + t] - 1] if row[2 + t] else 0)) / 2)
        again = reference.sampled(lambda ids: logits_of(table, np.array([ids]))[0], [1, 2], numbers)
        assert again == row.tolist()


def test_seeds():
    step, ids = step_of(tables(V, 4, 0.5)), [[1]] * 6

    def sample(**options):
        return at.models.generate(step, ids, max_new_tokens=12, do_sample=True, **options).tolist()

    assert sample(seed=3) == sample(seed=3) != sample(seed=4)
    assert len({tuple(row) for row in sample(seed=3)}) == 1  # the same prompt and seed
    several = sample(seed=range(6))
    assert len({tuple(row) for row in several}) == 6 and several[3] == sample(seed=3)[0]
    generator = at.Generator(3)
    first = sample(generator=generator)
    assert len({tuple(row) for row in first}) == 6
    assert sample(generator=generator) != first == sample(generator=at.Generator(3))
    assert sample() != sample()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_same_tokens_on_any_number_of_threads(threads):
    step, ids = step_of(tables(40, 5, 1.0)), prompts(30, vocabulary=40)
    options = {"max_new_tokens": 6, "do_sample": True, "seed": 1, "top_p": 0.9, "return_scores": True}
    at.set_num_threads(1)
    expected, scores = at.models.generate(step, ids, **options)
    at.set_num_threads(threads)
    got, same = at.models.generate(step, ids, **options)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(same, scores)


def test_samples_of_a_prompt_stand_together():
    step, ids = step_of(tables(V, 6, 1.0)), prompts(3)
    options = {"max_new_tokens": 5, "do_sample": True, "seed": 2, "num_return_sequences": 4, "eos_id": 1}
    got = at.models.generate(step, ids, **options)
    assert got.shape[0] == 12
    for b in range(3):
        np.testing.assert_array_equal(got[4 * b : 4 * b + 4, :3], np.tile(ids[b], (4, 1)))
        alone = at.models.generate(step, ids[b : b + 1], **options)
        np.testing.assert_array_equal(got[4 * b : 4 * b + 4, : alone.shape[1]], alone)


def test_temperature_near_zero_and_top_k_one_are_greedy():
    step, ids = step_of(tables(V, 7)), prompts()
    greedy = at.models.generate(step, ids, max_new_tokens=6)
    for options in ({"temperature": 1e-9}, {"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}):
        got = at.models.generate(step, ids, max_new_tokens=6, do_sample=True, seed=0, **options)
        np.testing.assert_array_equal(got, greedy)


def test_scores_are_log_probabilities():
    table = tables(V, 8, 1.0)
    options = {"temperature": 1.5, "top_k": 4}
    got, scores = at.models.generate(
        step_of(table), [[2]], max_new_tokens=4, do_sample=True, seed=0, return_scores=True, **options
    )
    total = 0.0
    for t in range(1, 5):
        logits = at.models.process_logits(logits_of(table, got[:, :t]), got[:, :t], **options)[0]
        total += reference.log_softmax(logits)[got[0, t]]
    assert_close(scores, np.array([total]))


# -------------------------------------------------------------------------------------------------- streaming


@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "seed": 3, "num_return_sequences": 2}], ids=str)
def test_a_stream_gives_what_generate_gives(sampling):
    step, ids = step_of(tables(V, 9, 1.0)), [[1, 2], [3], [4, 5]]
    options = {"max_new_tokens": 10, "eos_id": 2, "pad_id": 6, **sampling}
    expected = at.models.generate(step, ids, **options)
    stream = at.models.stream(step, ids, **options)
    assert iter(stream) is stream
    columns = list(stream)
    assert all(c.dtype == np.int64 and c.shape == (len(expected),) for c in columns)
    np.testing.assert_array_equal(stream.sequences, expected)
    copies = sampling.get("num_return_sequences", 1)
    new = np.stack(columns, axis=1)
    for r, row in enumerate(expected):
        length = len(ids[r // copies])
        tail = row[length:]
        np.testing.assert_array_equal(new[r], np.pad(tail, (0, 99), constant_values=6)[: new.shape[1]])
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_runs_no_further_than_it_is_read():
    calls = []

    def step(ids):
        calls.append(ids.shape[1])
        return np.eye(4)[ids[:, -1]]

    stream = at.models.stream(step, [[1]], max_new_tokens=100)
    assert calls == []
    assert next(stream).tolist() == [1] and calls == [1]
    assert next(stream).tolist() == [1] and calls == [1, 2]
    assert stream.sequences.tolist() == [[1, 1, 1]]


def test_a_stream_does_not_run_twice_at_once():
    def step(ids):
        with pytest.raises(ValueError, match=r"^stream: another step of it is running"):
            next(stream)
        with pytest.raises(ValueError, match=r"^stream: another step of it is running"):
            stream.sequences  # noqa: B018
        return np.eye(4)[ids[:, -1]]

    stream = at.models.stream(step, [[1]], max_new_tokens=2)
    assert [c.tolist() for c in stream] == [[1], [1]]


def test_streams_of_several_threads():
    step, results = step_of(tables(V, 1)), {}

    def run(n):
        results[n] = [int(c[0]) for c in at.models.stream(step, [[n]], max_new_tokens=20)]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(V)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(V):
        assert results[n] == at.models.generate(step, [[n]], max_new_tokens=20)[0, 1:].tolist()


# ------------------------------------------------------------------------------------------------ wrong input


def flat(ids):
    return np.zeros((len(ids), V))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_new_tokens": -1}, ValueError, "max_new_tokens is -1 but must be 0 or more"),
        ({"max_new_tokens": 2.0}, TypeError, "max_new_tokens is a float"),
        ({"max_new_tokens": 2**62}, ValueError, "max_new_tokens is .* but must be .* or less"),
        ({"max_new_tokens": 2**70}, ValueError, "max_new_tokens is .* out of range"),
        ({"min_new_tokens": 4}, ValueError, "min_new_tokens is 4 but must be max_new_tokens, 3, or less"),
        ({"eos_id": V}, ValueError, "eos_id is 7 but must be 0 to 6"),
        ({"eos_id": [0.5]}, TypeError, "eos_id is a float"),
        ({"stop": [[]]}, ValueError, "stop holds a sequence without tokens"),
        ({"stop": [3]}, TypeError, "stop is a int but must be a list of token ids"),
        ({"stop": "end"}, TypeError, "stop is a str but must be a list of lists of token ids"),
        ({"temperature": 0.5}, ValueError, "temperature is for sampling: give do_sample=True"),
        ({"seed": 1}, ValueError, "seed is for sampling"),
        ({"do_sample": 1}, TypeError, "do_sample is a int but must be True or False"),
        ({"do_sample": True, "seed": -1}, ValueError, "seed is -1"),
        ({"do_sample": True, "seed": [1, 2]}, ValueError, "seed has 2 numbers but must have one"),
        ({"do_sample": True, "seed": 1, "generator": at.Generator(1)}, ValueError, "give seed or generator"),
        ({"do_sample": True, "generator": 3}, TypeError, "generator is a int"),
        ({"do_sample": True, "temperature": 0.0}, ValueError, "temperature is 0"),
        ({"do_sample": True, "num_return_sequences": 2**21}, ValueError, "num_return_sequences is 2097152"),
        ({"num_return_sequences": 2}, ValueError, "num_return_sequences is 2 but greedy decoding"),
        ({"num_return_sequences": 0}, ValueError, "num_return_sequences is 0"),
        ({"lengths": [0]}, ValueError, "lengths holds 0 but must hold 1 to 2"),
        ({"lengths": [3]}, ValueError, "lengths holds 3"),
        ({"lengths": [1, 2]}, ValueError, r"lengths has shape \(2,\) but must be \(1,\)"),
        ({"lengths": [1.0]}, TypeError, "lengths has dtype float64"),
        ({"beam": 3}, TypeError, "there is no option 'beam'"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_options(options, error, says):
    with pytest.raises(error, match=f"^generate: {says}"):
        at.models.generate(flat, [[1, 2]], **{"max_new_tokens": 3, **options})


@pytest.mark.parametrize(
    ("ids", "error", "says"),
    [
        ([1, 2], ValueError, r"ids has shape \(2,\) but must have 2 axes"),
        ([[]], ValueError, "row 0 of ids is empty"),
        ("the cat", TypeError, "ids is text"),
        (["the cat"], TypeError, "ids is text"),
        ([[1], []], ValueError, "lengths holds 0"),
        ([[1], [2.5, 1]], TypeError, "ids is a float"),
        ([[0.5]], TypeError, "ids has dtype float64"),
        (None, TypeError, "ids is None"),
    ],
    ids=str,
)
def test_wrong_prompts(ids, error, says):
    with pytest.raises(error, match=f"^generate: {says}"):
        at.models.generate(flat, ids, max_new_tokens=1)


@pytest.mark.parametrize(
    ("step", "error", "says"),
    [
        (None, TypeError, "step is a NoneType but must be a function of ids"),
        (lambda ids: np.zeros(V), ValueError, r"the logits have shape \(7,\) but must be \(1, vocabulary\)"),
        (lambda ids: np.zeros((2, V)), ValueError, r"the logits have shape \(2, 7\)"),
        (lambda ids: np.zeros((1, 0)), ValueError, r"the logits have shape \(1, 0\)"),
        (lambda ids: np.full((1, V), np.nan), ValueError, "the logits of row 0 hold nan for token 0"),
        (lambda ids: np.full((1, V), -np.inf), ValueError, "every token of row 0 is forbidden"),
        (lambda ids: np.zeros((1, V), int), TypeError, "the logits have dtype int64|what step returned"),
        (lambda ids: "abc", TypeError, "what step returned"),
        (lambda ids: None, TypeError, "what step returned"),
    ],
    ids=range(9),
)
@pytest.mark.parametrize("beams", [1, 2])
def test_wrong_steps(step, error, says, beams):
    with pytest.raises(error, match=f"^generate: .*({says})"):
        at.models.generate(step, [[1]], max_new_tokens=2, num_beams=beams)


def test_errors_of_step_come_through():
    def step(ids):
        if ids.shape[1] > 2:
            raise KeyError("gone")
        return flat(ids)

    for beams in (1, 3):
        with pytest.raises(KeyError, match="gone"):
            at.models.generate(step, [[1]], max_new_tokens=5, num_beams=beams)
    stream = at.models.stream(step, [[1]], max_new_tokens=5)
    assert next(stream).tolist() == [0] and next(stream).tolist() == [0]
    with pytest.raises(KeyError, match="gone"):
        next(stream)
    assert list(stream) == []  # as a generator that raised


def test_beams_do_not_stream():
    with pytest.raises(ValueError, match=r"^stream: num_beams is 2 but must be 1"):
        at.models.stream(flat, [[1]], max_new_tokens=3, num_beams=2)


def test_a_vocabulary_that_changes():
    def step(ids):
        return np.zeros((len(ids), 5 if ids.shape[1] < 3 else 2))

    with pytest.raises(
        ValueError, match=r"^generate: the logits have shape \(1, 2\) but had 5 columns before"
    ):
        at.models.generate(step, [[1]], max_new_tokens=5, eos_id=4)

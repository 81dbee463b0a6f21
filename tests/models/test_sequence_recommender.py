"""SequenceRecommender: logits, padding on either side, candidates, recommendations, training, saving."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, upstream
from layer_check import check_layer, gradients, in_double, randomized
from tolerance import assert_close, assert_same_bits

N, D, HEADS, MAX_LEN = 10, 8, 2, 7
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])


def made(**options):
    settings = {"dff": 12, "dropout": 0.0, "dtype": "float64", **options}
    return randomized(at.models.SequenceRecommender(N, D, HEADS, 2, MAX_LEN, **settings))


ITEMS = np.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 0, 0, 0], [0, 0, 3, 5, 8, 9], [0, 7, 0, 9, 3, 0], [0] * 6])


@NORMS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, activation, norm_first):
    options = {"norm_first": norm_first, "activation": activation}
    check_layer(
        made(dtype=str(dtype), **options),
        [ITEMS],
        lambda items, p: reference.sequence_recommender(items, p, HEADS, **options),
        lambda d, items, p: (reference.sequence_recommender_backward(d, items, p, HEADS, **options),),
        scale=100.0,
    )


# ------------------------------------------------------------------------------------------------- properties


@NORMS
def test_padding_on_either_side(norm_first):
    """The items of a row get the same logits without padding, before it, behind it and around it."""
    model = made(norm_first=norm_first)
    row = [4, 8, 2]
    alone = model([row]).numpy()[0]
    for places in ([0, 1, 2], [4, 5, 6], [1, 3, 6]):
        items = np.zeros((1, MAX_LEN), int)
        items[0, places] = row
        assert_close(model(items).numpy()[0, places], alone)


def test_the_past_does_not_see_the_future():
    model, changed = made(), ITEMS.copy()
    changed[0, 3:] = [2, 7, 8]
    before, after = model(ITEMS).numpy(), model(changed).numpy()
    assert_same_bits(after[0, :3].copy(), before[0, :3].copy())
    assert_same_bits(after[1:], before[1:])
    assert (after[0, 3:] != before[0, 3:]).any()


def test_candidates_are_columns_of_the_logits():
    model = made()
    candidates = np.random.default_rng(0).integers(0, N + 1, (*ITEMS.shape, 4))
    logits = model(ITEMS)
    some = model(ITEMS, candidates)
    assert_close(some, np.take_along_axis(logits.numpy(), candidates, axis=-1))

    d_some = upstream(some)
    d_logits = np.zeros(logits.shape)
    for c in range(4):
        at_c = np.take_along_axis(d_logits, candidates[..., c : c + 1], axis=-1) + d_some[..., c : c + 1]
        np.put_along_axis(d_logits, candidates[..., c : c + 1], at_c, axis=-1)
    some.backward(d_some)
    got = gradients(model)
    model.zero_grad()
    model(ITEMS).backward(d_logits)
    expected = gradients(model)
    # The table of a layer has no gradient in the row of padding; that of the logits has one.
    got["embedding.weight"], expected["embedding.weight"] = (
        g["embedding.weight"][1:].copy() for g in (got, expected)
    )
    for name, gradient in expected.items():
        assert_close(got[name], gradient, scale=100.0, what=name)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (2, MAX_LEN)], ids=str)
def test_batches_of_any_shape(shape):
    items = np.ones(shape, int)
    assert made()(items).shape == (*shape, N + 1)
    assert made()(items, np.ones((*shape, 3), int)).shape == (*shape, 3)
    assert made()(items, np.ones((*shape, 0), int)).shape == (*shape, 0)


def test_dropout_is_for_training():
    model, plain = made(dropout=0.3), made()
    assert (model(ITEMS).numpy() != plain(ITEMS).numpy()).any()
    assert_same_bits(model.eval()(ITEMS), plain(ITEMS))


def test_names_of_the_parameters():
    state = at.models.SequenceRecommender(N, D, HEADS, 1, MAX_LEN, seed=0).state_dict()
    assert state["embedding.weight"].shape == (N + 1, D) and not state["embedding.weight"][0].any()
    assert state["position.weight"].shape == (MAX_LEN, D)
    assert state["encoder.layers.0.feed_forward.linear1.weight"].shape == (D, D)
    assert "encoder.norm.weight" in state
    assert at.models.SequenceRecommender(N, D, HEADS, 1, MAX_LEN).config["dropout"] == 0.2


# -------------------------------------------------------------------------------------------- recommendations


@pytest.mark.parametrize("exclude_seen", [True, False], ids=["new", "any"])
def test_recommendations_are_the_largest_logits(exclude_seen):
    model, items = made(), ITEMS[:4]
    ids, scores = model.recommend(items, k=5, exclude_seen=exclude_seen)
    assert ids.shape == scores.shape == (4, 5) and ids.dtype == np.int64 and scores.dtype == np.float64
    logits = model(items).numpy()
    for b, row in enumerate(items):
        last = logits[b, np.flatnonzero(row)[-1]]
        allowed = [i for i in range(1, N + 1) if not (exclude_seen and i in row)]
        best = sorted(allowed, key=lambda i: -last[i])[:5]
        assert ids[b].tolist() == best
        assert_close(scores[b], last[best])


def test_long_rows_are_read_from_their_end():
    model = made()
    long = np.random.default_rng(0).integers(1, 4, (2, 40))
    long[:, ::3] = 0
    shorter = np.stack([row[row != 0][-MAX_LEN:] for row in long])
    ids, scores = model.recommend(long, k=4)
    expected = model.recommend(shorter, k=4)
    np.testing.assert_array_equal(ids, expected[0])
    assert_close(scores, expected[1])


def test_recommendations_ignore_dropout_and_keep_the_mode():
    model = made(dropout=0.5)
    np.testing.assert_array_equal(model.recommend(ITEMS[:4], 3)[0], made().recommend(ITEMS[:4], 3)[0])
    assert model.training
    assert model.recommend(ITEMS[:0], 3)[0].shape == (0, 3)


def test_all_items_seen_before_is_no_reason_to_offer_padding():
    model = made()
    ids, _ = model.recommend([[1, 2, 3, 4, 5, 6, 7, 8, 9]], k=1)
    assert ids.tolist() == [[10]]


# -------------------------------------------------------------------------------------------- training, files


def walks(samples, seed):
    """Sequences in which item i is followed by i + step around a circle, the step told by the first two."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, 4, (samples, 1))
    items = (rng.integers(0, 30, (samples, 1)) + steps * np.arange(8)) % 30 + 1
    items[rng.random(samples) < 0.3, 6:] = 0
    return items, steps


def hits(model, items):
    """How often the next item is the first recommendation."""
    rows = items[(items != 0).all(axis=1)]
    ids, _ = model.recommend(rows[:, :-1], k=1, exclude_seen=False)
    return (ids[:, 0] == rows[:, -1]).mean()


def test_learns_what_comes_next():
    items, _ = walks(1000, seed=0)
    model = at.models.SequenceRecommender(30, 32, 2, 2, 8, dropout=0.0, seed=0)
    loss = at.losses.CrossEntropy(ignore_index=0)
    trainer = at.train.Trainer(model, loss, at.optim.Adam(lr=3e-3), seed=0)
    trainer.fit(items[:, :-1], items[:, 1:], epochs=10, batch_size=32, progress=False)
    assert hits(model, walks(300, seed=1)[0]) > 0.95


def test_learns_from_drawn_items():
    """Cross-entropy over the next item and one that is not: BPR."""
    items, _ = walks(1000, seed=0)
    drawn = np.random.default_rng(2).integers(1, 31, (1000, 7, 4))
    candidates = np.concatenate([items[:, 1:, None], drawn], axis=2)
    target = np.where(items[:, 1:] != 0, 0, -1)
    model = at.models.SequenceRecommender(30, 32, 2, 2, 8, dropout=0.0, seed=0)
    loss = at.losses.CrossEntropy(ignore_index=-1)
    trainer = at.train.Trainer(model, loss, at.optim.Adam(lr=3e-3), seed=0)
    trainer.fit((items[:, :-1], candidates), target, epochs=12, batch_size=32, progress=False)
    assert hits(model, walks(300, seed=1)[0]) > 0.8


def test_one_drawn_item_is_bpr():
    model = made()
    candidates = np.random.default_rng(0).integers(1, N + 1, (*ITEMS.shape, 2))
    loss = at.losses.CrossEntropy()(model(ITEMS, candidates), np.zeros(ITEMS.shape, int))
    s = np.take_along_axis(
        reference.sequence_recommender(ITEMS, in_double(model), HEADS), candidates, axis=-1
    )
    assert_close(float(loss), np.log1p(np.exp(-(s[..., 0] - s[..., 1]))).mean(), np.float64, scale=100.0)


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": "float64", "norm_first": False, "activation": "gelu", "dropout": 0.25, "dff": 5}],
    ids=["defaults", "float64"],
)
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = randomized(at.models.SequenceRecommender(N, D, HEADS, 2, MAX_LEN, **options))
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.SequenceRecommender
    assert loaded.config == model.config
    assert model.config == {
        "num_items": N, "d_model": D, "num_heads": HEADS, "num_layers": 2, "max_len": MAX_LEN, "dff": D,
        "dropout": 0.2, "activation": "relu", "norm_first": True, "dtype": "float32", **options,
    }  # fmt: skip
    assert_same_bits(loaded(ITEMS), model.eval()(ITEMS))


@pytest.mark.parametrize(
    "change", [{"num_items": 10**9}, {"num_layers": 10**4}, {"dff": 10**9}, {"max_len": 10**9}], ids=str
)
def test_a_small_file_that_describes_a_huge_model(change, tmp_path):
    import json

    from safetensors.numpy import save

    config = {"format": 1, "class": "SequenceRecommender", "config": {**made().config, **change}}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(made().state_dict(), metadata={"attendo_config": json.dumps(config)}))
    with pytest.raises(ValueError, match="it describes more numbers than there are"):
        at.load(path)


# ------------------------------------------------------------------------------------------------ wrong input

CANDIDATES = np.ones((5, 6, 2), int)


@pytest.mark.parametrize(
    ("items", "candidates", "error", "says"),
    [
        (ITEMS[0], None, ValueError, r"items has shape \(6,\) but must have 2 axes"),
        (np.ones((2, 8), int), None, ValueError, "a row of items has 8 items but max_len is 7"),
        (ITEMS + 2, None, ValueError, "items holds 11 but must hold 0 to 10"),
        (-ITEMS, None, ValueError, "items holds -"),
        (ITEMS.astype(float), None, TypeError, "items has dtype float64 but must be int64"),
        (ITEMS, CANDIDATES[:4], ValueError, "candidates has shape"),
        (ITEMS, CANDIDATES[..., 0], ValueError, "candidates has shape"),
        (ITEMS, 11 * CANDIDATES, ValueError, "candidates holds 11 but must hold 0 to 10"),
        (ITEMS, CANDIDATES > 0, TypeError, "candidates has dtype bool"),
    ],
)
def test_wrong_input(items, candidates, error, says):
    with pytest.raises(error, match=f"^SequenceRecommender: {says}"):
        made()(items, candidates)


@pytest.mark.parametrize(
    ("items", "k", "error", "says"),
    [
        (ITEMS, 3, ValueError, "row 4 of items has no item but must have 1 or more"),
        (ITEMS[:4], 0, ValueError, "k is 0 but must be 1 to 10"),
        (ITEMS[:4], 11, ValueError, "k is 11"),
        (ITEMS[:4], 6, ValueError, "k is 6 but row 0 of items leaves only 5"),
        (ITEMS[:4], 2.0, TypeError, "k is a float"),
        (ITEMS[0], 2, ValueError, "items has shape"),
        (ITEMS + 2, 2, ValueError, "items holds 11"),
    ],
)
def test_wrong_recommendations(items, k, error, says):
    with pytest.raises(error, match=f"^recommend: {says}"):
        made().recommend(items, k)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"num_items": 0}, ValueError, "num_items is 0 but must be 1 to 2"),
        ({"d_model": 7}, ValueError, "d_model is 7 but must be a multiple of num_heads, which is 2"),
        ({"num_heads": 0}, ValueError, "num_heads is 0"),
        ({"num_layers": -1}, ValueError, "num_layers is -1"),
        ({"max_len": 0}, ValueError, "max_len is 0"),
        ({"dff": 0}, ValueError, "dff is 0"),
        ({"dropout": 1.0}, ValueError, "is 1 but must be 0 or more and below 1"),
        ({"activation": "tanh"}, ValueError, "activation is 'tanh'"),
        ({"dtype": "float16"}, TypeError, "dtype is 'float16'"),
        ({"d_model": 8.0}, TypeError, "d_model is a float"),
        ({"num_items": 2**45}, (MemoryError, ValueError), "memory|num_items|bad_alloc"),
        ({"d_model": 2**62}, (MemoryError, ValueError), "memory|d_model|bad_alloc|shape"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"num_items": N, "d_model": D, "num_heads": HEADS, "num_layers": 1, "max_len": MAX_LEN}
    with pytest.raises(error, match=says):
        at.models.SequenceRecommender(**{**arguments, **change})

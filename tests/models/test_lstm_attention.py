"""LstmAttention: the text classifier, its padding, training, saving."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

V, CLASSES = 12, 3
STACKS = [{}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True}]


def made(dtype="float64", **options):
    return at.models.LstmAttention(V, CLASSES, 5, 6, **{"attention_features": 7, "dtype": dtype, **options})


def padded():
    """Rows of 7, 4 and 5 tokens, the last with padding between them, and one of none."""
    ids = np.random.default_rng(0).integers(1, V, (4, 7))
    ids[1, 4:] = 0
    ids[2, [2, 6]] = 0
    ids[3] = 0
    return ids


IDS, LENGTHS = padded(), np.array([5, 7, 0, 1])


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["padding", "lengths"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, lengths, stack):
    check_layer(
        randomized(made(str(dtype), **stack)),
        [IDS],
        lambda ids, p: reference.lstm_attention(ids, p, lengths),
        lambda d, ids, p: (reference.lstm_attention_backward(d, ids, p, lengths),),
        call=lambda model, ids: model(ids, lengths),
        scale=10.0,
    )


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["padding", "lengths"])
def test_weights(lengths):
    model = randomized(made())
    logits, weights = model(IDS, lengths, return_weights=True)
    steps = reference.lstm_attention_steps(IDS, in_double(model), lengths)
    assert_close(weights, steps["weights"])
    assert_same_bits(model(IDS, lengths), logits)
    tokens = IDS != 0 if lengths is None else np.arange(7) < lengths[:, None]
    assert not weights.numpy()[~tokens].any()
    assert_close(weights.numpy().sum(axis=1), tokens.any(axis=1).astype(float))


# ------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_padded_equals_unpadded(stack):
    model = randomized(made(**stack))
    logits = model(IDS).numpy()
    assert_close(model(IDS[1:2, :4]), logits[1:2])
    assert_close(model(np.concatenate([IDS, np.zeros((4, 5), int)], axis=1)), logits)
    assert_close(model(IDS, lengths=[7, 4, 6, 0]).numpy()[:2], logits[:2])
    # On either side and in between.
    for places in ([5, 6, 7, 8, 9], [0, 2, 4, 6, 9]):
        ids = np.zeros((1, 10), int)
        ids[0, places] = [4, 8, 1, 1, 3]
        assert_close(model(ids), model([[4, 8, 1, 1, 3]]).numpy())


def test_lengths_decide_what_padding_is():
    """What stands behind them does not matter, what stands before counts even where it is pad_id."""
    model, other = randomized(made(bidirectional=True)), IDS.copy()
    other[np.arange(7) >= LENGTHS[:, None]] = 3
    assert_same_bits(model(other, LENGTHS), model(IDS, LENGTHS))
    given = np.array([[4, 0, 5]])
    assert (model(given, [3]).numpy() != model(given).numpy()).any()


def test_a_row_does_not_see_the_others():
    model = randomized(made(bidirectional=True))
    together = model(IDS).numpy()
    for i in range(4):
        assert_close(model(IDS[i : i + 1]), together[i : i + 1])


def test_a_text_without_tokens_gets_the_bias():
    model = randomized(made())
    assert_same_bits(model(IDS).numpy()[3], model.state_dict()["fc.bias"])


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (0, 0)], ids=str)
def test_batches_of_any_shape(shape):
    logits, weights = made()(np.ones(shape, int), return_weights=True)
    assert logits.shape == (shape[0], CLASSES) and weights.shape == shape


def test_dropout_is_for_training():
    model, plain = randomized(made(dropout=0.4, num_layers=2)), randomized(made(num_layers=2))
    assert (model(IDS).numpy() != plain(IDS).numpy()).any()
    assert_same_bits(model.eval()(IDS), plain(IDS))


def test_defaults_are_those_of_the_article():
    shapes = {n: v.shape for n, v in at.models.LstmAttention(100, 2, seed=0).state_dict().items()}
    assert shapes["lstm.weight_hh_l0"] == (4 * 64, 64)
    assert shapes["fc.weight"] == (2, 64)
    assert "lstm.weight_hh_l0_reverse" not in shapes


# -------------------------------------------------------------------------------------------- training, files

POSITIVE, NEGATIVE, NOT = (1, 2, 3), (4, 5, 6), 7


def sentiments(samples, seed):
    """Texts of 4 to 12 words with one of praise or blame among them; "not" before it turns it round."""
    rng = np.random.default_rng(seed)
    ids, labels = np.zeros((samples, 12), int), rng.integers(0, 2, samples)
    where = []
    for row, label in zip(ids, labels, strict=True):
        n = rng.integers(4, 13)
        row[:n] = rng.integers(8, 30, n)
        at_word, turned = rng.integers(1, n), rng.integers(0, 2)
        row[at_word] = rng.choice(POSITIVE if label != turned else NEGATIVE)
        if turned:
            row[at_word - 1] = NOT
        where.append(at_word)
    return ids, labels, np.array(where)


def test_learns_sentiments():
    ids, labels, _ = sentiments(2000, seed=0)
    model = at.models.LstmAttention(30, 2, 16, 24, seed=0)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01), seed=0)
    trainer.fit(ids, labels, epochs=8, batch_size=32, progress=False)
    ids, labels, where = sentiments(500, seed=1)
    logits, weights = model.eval()(ids, return_weights=True)
    assert (logits.numpy().argmax(axis=1) == labels).mean() > 0.95
    # States before the word that decides know nothing yet: weight lies on it and on what follows, which is
    # half of the text.
    behind = np.arange(12) >= where[:, None]
    assert (weights.numpy() * behind).sum(axis=1).mean() > 0.75


def test_trains_with_lengths_as_an_input():
    ids, labels, _ = sentiments(200, seed=0)
    lengths = (ids != 0).sum(axis=1)
    losses = []
    for inputs in (ids, (ids, lengths)):
        model = at.models.LstmAttention(30, 2, 8, 8, dtype="float64", seed=0)
        trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01), seed=0)
        losses.append(trainer.fit(inputs, labels, epochs=2, progress=False)["loss"])
    assert_close(losses[0], losses[1], scale=1000.0)  # the steps add up rounding


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": "float64", "bidirectional": True, "num_layers": 2, "dropout": 0.25, "pad_id": 4}],
    ids=["defaults", "float64"],
)
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = randomized(at.models.LstmAttention(V, CLASSES, **options))
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.LstmAttention
    assert loaded.config == model.config
    assert model.config == {
        "vocab_size": V, "num_classes": CLASSES, "embedding_dim": 64, "hidden_size": 64, "num_layers": 1,
        "attention_features": 64, "bidirectional": False, "dropout": 0.0, "pad_id": 0, "dtype": "float32",
        **options,
    }  # fmt: skip
    assert_same_bits(loaded(IDS), model.eval()(IDS))


@pytest.mark.parametrize(
    "change",
    [{"vocab_size": 10**9}, {"hidden_size": 10**6}, {"num_layers": 10**4}, {"num_classes": 10**9}],
    ids=str,
)
def test_a_small_file_that_describes_a_huge_model(change, tmp_path):
    import json

    from safetensors.numpy import save

    config = {"format": 1, "class": "LstmAttention", "config": {**made().config, **change}}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(made().state_dict(), metadata={"attendo_config": json.dumps(config)}))
    with pytest.raises(ValueError, match="it describes more numbers than there are"):
        at.load(path)


# ------------------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("ids", "lengths", "error", "says"),
    [
        (IDS[0], None, ValueError, r"ids has shape \(7,\) but must have 2 axes"),
        (IDS + V, None, ValueError, "ids holds"),
        (-IDS, None, ValueError, "ids holds -"),
        (IDS.astype(float), None, TypeError, "ids has dtype float64 but must be int64"),
        (None, None, TypeError, "ids is None"),
        (IDS, [1, 2, 3], ValueError, r"lengths has shape \(3,\)"),
        (IDS, [1, 2, 3, 8], ValueError, "lengths holds 8 but must hold 0 to 7"),
        (IDS, [1, 2, 3, -1], ValueError, "lengths holds -1"),
        (IDS, [1.0, 2, 3, 4], TypeError, "lengths has dtype float64 but must be int64"),
    ],
)
def test_wrong_input(ids, lengths, error, says):
    with pytest.raises(error, match=f"^LstmAttention: {says}"):
        made()(ids, lengths)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size is 0"),
        ({"num_classes": 0}, ValueError, "num_classes is 0"),
        ({"hidden_size": 2**62}, ValueError, "hidden_size is"),
        ({"vocab_size": 2**45}, (MemoryError, ValueError), "memory|vocab_size|bad_alloc|shape"),
        ({"attention_features": -1}, ValueError, "attention_features is -1"),
        ({"num_layers": 10**6}, ValueError, "num_layers is 1000000"),
        ({"dropout": -0.1}, ValueError, "is -0.1"),
        ({"pad_id": V}, ValueError, "pad_id is 12 but must be 0 to 11"),
        ({"dtype": "int64"}, TypeError, "dtype is 'int64'"),
        ({"embedding_dim": "5"}, TypeError, "embedding_dim is a str"),
    ],
)
def test_wrong_constructions(change, error, says):
    with pytest.raises(error, match=says):
        at.models.LstmAttention(**{"vocab_size": V, "num_classes": CLASSES, **change})

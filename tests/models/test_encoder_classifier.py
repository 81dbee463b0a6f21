"""EncoderClassifier: against the reference, the ways of pooling, padding, training, files."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, randomized
from tolerance import assert_close, assert_same_bits

V, D, HEADS, MAX_LEN, CLASSES = 11, 8, 2, 12, 3
IDS = np.random.default_rng(0).integers(0, V, (4, 7))
LENGTHS = [7, 3, 1, 5]
MASK = np.arange(7) < np.array(LENGTHS)[:, None]
WAYS = pytest.mark.parametrize(
    "options",
    [{}, {"pooler": "tanh"}, {"pooling": "mean"}, {"pooling": "attention"}],
    ids=["first", "pooler", "mean", "attention"],
)


def classifier(seed=0, **options):
    settings = {"dff": 16, "dtype": "float64", **options}
    return randomized(at.models.EncoderClassifier(V, D, HEADS, 1, MAX_LEN, CLASSES, **settings), seed)


@WAYS
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "lengths"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, mask, options):
    pooling = options.get("pooling", "first")
    check_layer(
        classifier(dtype=str(dtype), **options),
        [IDS],
        lambda x, p: reference.encoder_classifier(x, p, HEADS, pooling, mask),
        lambda d, x, p: (reference.encoder_classifier_backward(d, x, p, HEADS, pooling, mask),),
        call=lambda model, x: model(x, mask),
        scale=100.0,
    )


@WAYS
@pytest.mark.parametrize("tape", [False, True])
def test_padded_equals_unpadded(options, tape):
    model = classifier(**options).eval()
    with at.enable_grad() if tape else at.no_grad():
        logits = model(IDS, MASK).numpy()
        for row, n, right in zip(IDS, LENGTHS, logits, strict=True):
            assert_close(model(row[None, :n]).numpy()[0], right)


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_text_of_padding_alone(pooling):
    """Nothing is pooled: the bias."""
    model = classifier(pooling=pooling)
    logits = model(IDS, np.zeros_like(MASK)).numpy()
    assert_close(logits, np.tile(model.state_dict()["classifier.bias"], (4, 1)))


def test_outputs():
    model = classifier(dropout=0.0)
    out = model.outputs(IDS, MASK, hidden_states=True, attentions=True)
    assert_same_bits(out.logits, model(IDS, MASK))
    assert len(out.hidden_states) == 2 and len(out.attentions) == 1


@WAYS
def test_learns(options):
    """Whether a 7 is in the text: no single position tells."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 10, (256, 6))
    mask = np.arange(6) < rng.integers(1, 7, (256, 1))
    labels = ((ids == 7) & mask).any(axis=1).astype(int)
    model = at.models.EncoderClassifier(10, 16, 2, 1, 6, 2, seed=0, **options)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=0.01), seed=0)
    trainer.fit((ids, mask), labels, epochs=12, batch_size=32, progress=False)
    with at.no_grad():
        assert (model.eval()(ids, mask).numpy().argmax(1) == labels).mean() > 0.95


def test_dropout_of_the_head():
    plain, model = classifier(), classifier(head_dropout=0.5)
    assert (model(IDS).numpy() != plain(IDS).numpy()).any()
    assert_same_bits(model.eval()(IDS), plain(IDS))
    assert classifier(dropout=0.25).config["head_dropout"] == 0.25


@WAYS
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = classifier(head_dropout=0.1, **options)
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.EncoderClassifier and loaded.config == model.config
    assert loaded.config["num_classes"] == CLASSES
    assert_same_bits(loaded(IDS), model.eval()(IDS))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"num_classes": 0}, ValueError, "EncoderClassifier: num_classes is 0 but must be 1 or more"),
        ({"num_classes": 2.0}, TypeError, "num_classes is a float"),
        ({"pooling": "max"}, ValueError, "pooling is 'max' but must be 'first', 'mean' or 'attention'"),
        ({"pooling": "mean", "pooler": "tanh"}, ValueError, "pooler is 'tanh' but pooling is 'mean'"),
        ({"head_dropout": 1.0}, ValueError, "is 1 but must be 0 or more and below 1"),
        ({"num_classes": 2**60}, (MemoryError, ValueError), "memory|bad_alloc|shape|out_features"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {
        "vocab_size": V,
        "d_model": D,
        "num_heads": 2,
        "num_layers": 1,
        "max_len": 4,
        "num_classes": 2,
    }
    with pytest.raises(error, match=says):
        at.models.EncoderClassifier(**{**arguments, **change})

"""VisionTransformer: against the reference, patches and their positions, training, files."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, randomized
from tolerance import assert_close, assert_same_bits

D, HEADS, CLASSES = 8, 2, 3
WAYS = pytest.mark.parametrize(
    "options", [{}, {"pooler": "tanh"}, {"pooling": "mean"}], ids=["class token", "pooler", "mean"]
)


def vision(seed=0, **options):
    settings = {"dff": 16, "dtype": "float64", "num_classes": CLASSES, "in_channels": 2, **options}
    return randomized(at.models.VisionTransformer((6, 8), (3, 2), D, HEADS, 2, **settings), seed)


def images(count=3, dtype="float64"):
    return np.random.default_rng(0).standard_normal((count, 2, 6, 8)).astype(dtype)


@WAYS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, options):
    pooling = options.get("pooling", "first")
    check_layer(
        vision(dtype=str(dtype), **options),
        [images(dtype=dtype)],
        lambda x, p: reference.vision_transformer(x, p, HEADS, pooling),
        lambda d, x, p: reference.vision_transformer_backward(d, x, p, HEADS, pooling),
        scale=100.0,
    )


def test_without_a_classifier():
    model, whole = vision(num_classes=None, pooler="tanh"), vision(pooler="tanh")
    whole.load_state_dict({**whole.state_dict(), **model.state_dict()})
    out = whole.outputs(images(), hidden_states=True, attentions=True)
    assert_same_bits(model(images()), out.pooled)
    assert model.outputs(images()).logits is None and model(images()).shape == (3, D)
    assert_same_bits(out.logits, whole(images()))
    assert out.last_hidden_state.shape == (3, 9, D)
    assert len(out.hidden_states) == 3 and out.attentions[1].shape == (3, HEADS, 9, 9)


def test_only_positions_tell_patches_apart():
    """Without them a permutation of the patches changes nothing."""
    model, x = vision(pooling="mean"), images()
    patches = x.reshape(3, 2, 2, 3, 4, 2)  # (B, C, rows, 3, columns, 2)
    turned = patches[:, :, ::-1, :, ::-1].reshape(x.shape)
    assert (np.abs(model(x).numpy() - model(turned).numpy()) > 1e-6).any()
    model.load_state_dict({**model.state_dict(), "position": np.zeros((9, D))})
    assert_close(model(x), model(turned).numpy())


@pytest.mark.parametrize("count", [0, 1])
def test_batches_of_any_size(count):
    assert vision()(images(count)).shape == (count, CLASSES)


@WAYS
def test_learns(options):
    """Which of four patches is the bright one."""
    rng = np.random.default_rng(0)
    where = rng.integers(0, 4, 256)
    x = 0.1 * rng.standard_normal((256, 1, 8, 8)).astype("float32")
    for i, place in enumerate(where):
        x[i, 0, place // 2 * 4 :, place % 2 * 4 :][:4, :4] += 1
    model = at.models.VisionTransformer(8, 4, 16, 2, 1, num_classes=4, in_channels=1, seed=0, **options)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=3e-3), seed=0)
    trainer.fit(x, where, epochs=20, batch_size=32, progress=False)
    with at.no_grad():
        assert (model.eval()(x).numpy().argmax(1) == where).mean() > 0.95


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooler": "tanh", "num_classes": None, "qkv_bias": False, "norm_eps": 1e-5},
        {"pooling": "mean", "norm_first": False, "norm": "rms", "activation": "swiglu"},
    ],
    ids=["plain", "no classifier", "others"],
)
def test_saved_and_loaded_to_the_bit(options, tmp_path):
    model = vision(**options)
    model.save(tmp_path / "model.safetensors")
    loaded = at.load(tmp_path / "model.safetensors")
    assert type(loaded) is at.models.VisionTransformer and dict(loaded.config) == dict(model.config)
    assert_same_bits(loaded(images()), model.eval()(images()))


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (images()[0], ValueError, "images has shape .* but must have 4 axes"),
        (images()[:, :1], ValueError, "images has 1 channels but in_channels is 2"),
        (images()[:, :, :3], ValueError, r"images are 3 × 8 but image_size is \(6, 8\)"),
        (images(dtype="float32"), TypeError, "images has dtype float32 but the model is float64"),
        (None, TypeError, "images is None"),
    ],
)
def test_wrong_images(given, error, says):
    with pytest.raises(error, match=f"^VisionTransformer: {says}"):
        vision()(given)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"image_size": 0}, ValueError, "image_size is 0"),
        ({"patch_size": 3}, ValueError, r"image_size is \(8, 8\) but must be a multiple of patch_size"),
        ({"patch_size": (4, 0)}, ValueError, "patch_size is 0"),
        ({"d_model": 7}, ValueError, "d_model is 7 and num_heads is 2"),
        ({"num_classes": 0}, ValueError, "num_classes is 0 but must be 1 or more"),
        ({"pooling": "max"}, ValueError, "pooling is 'max' but must be 'first' or 'mean'"),
        ({"pooler": "relu"}, ValueError, "pooler is 'relu' but must be"),
        ({"pooler": "tanh", "pooling": "mean"}, ValueError, "pooler is 'tanh' but pooling is 'mean'"),
        ({"num_layers": -1}, ValueError, "num_layers is -1"),
        ({"image_size": 2**40, "patch_size": 1}, ValueError, "image_size and in_channels must be"),
        ({"image_size": 2**20, "patch_size": 1}, (MemoryError, ValueError), "memory|bad_alloc|shape"),
        ({"in_channels": 2**62}, ValueError, "image_size and in_channels must be"),
        ({"d_model": 2**62}, (MemoryError, ValueError), "memory|d_model|bad_alloc|shape"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"image_size": 8, "patch_size": 4, "d_model": 8, "num_heads": 2, "num_layers": 1}
    with pytest.raises(error, match=says):
        at.models.VisionTransformer(**{**arguments, **change})

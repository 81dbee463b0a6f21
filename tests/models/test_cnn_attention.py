"""CnnAttention: convolutions, then attention over the positions of their map."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

SMALL = {"channels": (3, 4), "features": 5, "attention_features": 6}


def model(dtype=np.float64, in_channels=2, num_classes=3, image_size=8, **options):
    settings = {**SMALL, "dtype": str(np.dtype(dtype)), **options}
    return randomized(at.models.CnnAttention(in_channels, num_classes, image_size, **settings))


def images(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("batch", "image_size"), [(2, 8), (1, 4), (3, (12, 5)), (2, 11)], ids=["8", "4", "12x5", "11"]
)
def test_against_reference(batch, image_size, dtype):
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    check_layer(
        model(dtype, image_size=image_size),
        [images(batch, 2, height, width, dtype=dtype)],
        reference.cnn_attention,
        reference.cnn_attention_backward,
        scale=10.0,
    )


def test_weights():
    module, x = model(), images(2, 2, 8, 8)
    logits, weights = module(x, return_weights=True)
    steps = reference.cnn_attention_steps(x, in_double(module))
    assert_close(logits, steps["logits"], scale=10.0)
    assert_close(weights.numpy().reshape(2, 4, 4), steps["weights"])
    assert_same_bits(module(x), logits)


def test_images_of_a_batch_do_not_see_each_other():
    """The mistake of the article's code: attention over the batch."""
    module, x = model(), images(3, 2, 8, 8)
    together = module(x).numpy()
    for i in range(3):
        assert_close(module(x[i : i + 1]).numpy(), together[i : i + 1])


def test_defaults_are_those_of_the_article():
    shapes = {n: v.shape for n, v in at.models.CnnAttention(3, 10, 32, seed=0).state_dict().items()}
    assert shapes["conv1.weight"] == (64, 3, 3, 3)
    assert shapes["conv2.weight"] == (128, 64, 3, 3)
    assert shapes["fc1.weight"] == (512, 128)
    assert shapes["attention.W_Q.weight"] == (256, 512)
    assert shapes["fc.weight"] == (10, 256)


def test_saved_and_loaded_to_the_bit(tmp_path):
    module, x = model(np.float32), images(2, 2, 8, 8, dtype=np.float32)
    module.save(tmp_path / "m.safetensors")
    loaded = at.load(tmp_path / "m.safetensors")
    assert type(loaded) is at.models.CnnAttention
    assert_same_bits(loaded(x), module(x))


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (images(2, 8, 8), ValueError, r"has shape \(2, 8, 8\)"),
        (images(2, 3, 8, 8), ValueError, "3"),
        (images(2, 2, 9, 8), ValueError, "9 × 8 but image_size is"),
        (images(2, 2, 8, 8, dtype=np.float32), TypeError, "float32"),
        (np.zeros((2, 2, 8, 8), np.uint8), TypeError, "has dtype"),
        (None, TypeError, "is None"),
    ],
)
def test_wrong_images(x, error, says):
    with pytest.raises(error, match=rf"^CnnAttention: images.*{says}"):
        model()(x)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"in_channels": 0}, ValueError, "in_channels is 0"),
        ({"num_classes": 0}, ValueError, "num_classes is 0"),
        ({"image_size": 3}, ValueError, "image_size"),
        ({"image_size": (8, 0)}, ValueError, "image_size"),
        ({"image_size": "8"}, TypeError, "image_size is a str"),
        ({"channels": 3.0}, TypeError, "channels is a float"),
        ({"channels": (3, 0)}, ValueError, "channels"),
        ({"features": 0}, ValueError, "features is 0"),
        ({"attention_features": -1}, ValueError, "attention_features is -1"),
    ],
)
def test_wrong_constructions(change, error, says):
    with pytest.raises(error, match=f"^CnnAttention: .*{says}"):
        model(**change)

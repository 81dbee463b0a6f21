"""CrossModalClassifier: logits, padding, training, saving."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import in_double, randomized
from tolerance import DIFFERENCE, STEP, assert_close, assert_same_bits

V, HEADS = 9, 2


def classifier(seed=0, **options):
    settings = {"num_layers": 2, "in_channels": 2, "dtype": "float64", **options}
    return randomized(at.models.CrossModalClassifier(V, 3, (6, 4), (3, 2), 8, HEADS, 7, **settings), seed)


def inputs(batch=3, length=5, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, V, (batch, length))
    ids[-1, 3:] = 0
    return ids, rng.standard_normal((batch, 2, 6, 4)).astype(dtype)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(dtype, layers):
    model = classifier(num_layers=layers, dtype=str(dtype))
    ids, images = inputs(dtype=dtype)
    expected = reference.cross_modal_classifier(ids, images.astype(np.float64), in_double(model), HEADS)
    assert_close(model(ids, images), expected, dtype, scale=20.0)


def test_gradients():
    model, (ids, images) = classifier(), inputs()
    rng = np.random.default_rng(0)
    tracked = at.tensor(images, requires_grad=True)
    logits = model(ids, tracked)
    d_logits = rng.standard_normal(logits.shape)
    logits.backward(d_logits)
    start = {name: value.copy() for name, value in model.state_dict().items()}
    directions = {name: rng.standard_normal(value.shape) for name, value in start.items()}
    directions["embedding.weight"][0] = 0  # padding learns nothing
    d_images = rng.standard_normal(images.shape)

    def value(step):
        model.load_state_dict({name: start[name] + step * directions[name] for name in start})
        return float(np.sum(model(ids, images + step * d_images).numpy() * d_logits))

    slope = float(np.sum(tracked.grad.numpy() * d_images))
    slope += sum(float(np.sum(p.grad.numpy() * directions[name])) for name, p in model.named_parameters())
    assert abs(slope - (value(STEP) - value(-STEP)) / (2 * STEP)) <= DIFFERENCE * max(100.0, abs(slope))


def test_padding_does_not_matter():
    model, (ids, images) = classifier(), inputs()
    longer = np.pad(ids, ((0, 0), (0, 2)))
    assert_close(model(longer, images), model(ids, images).numpy(), scale=10.0)
    nothing = model(np.zeros((3, 4), int), images).numpy()
    assert np.isfinite(nothing).all()


def test_weights():
    model, (ids, images) = classifier(), inputs()
    logits, (words, patches) = model(ids, images, return_weights=True)
    assert_same_bits(logits, model(ids, images))
    assert [w.shape for w in words] == [(3, HEADS, 5, 4)] * 2
    assert [w.shape for w in patches] == [(3, HEADS, 4, 5)] * 2
    assert (patches[0].numpy()[-1, :, :, 3:] == 0).all()


def test_it_learns_to_compare():
    """Whether the word names the bright patch: neither the text nor the image alone can tell."""
    rng = np.random.default_rng(0)

    def examples(count):
        ids = rng.integers(1, 5, (count, 1))
        bright = rng.integers(1, 5, count)
        images = 0.1 * rng.standard_normal((count, 1, 4, 4)).astype("float32")
        for image, at_patch in zip(images, bright, strict=True):
            row, column = divmod(at_patch - 1, 2)
            image[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 1
        same = rng.integers(0, 2, count)
        ids[same == 1, 0] = bright[same == 1]
        return ids, images, (ids[:, 0] == bright).astype(np.int64)

    ids, images, targets = examples(512)
    model = at.models.CrossModalClassifier(5, 2, 4, 2, 16, 2, 1, in_channels=1, seed=0)
    trainer = at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(lr=3e-3), seed=0)
    trainer.fit((ids, images), targets, epochs=40, batch_size=64, progress=False)
    ids, images, targets = examples(256)
    assert (model.eval()(ids, images).numpy().argmax(axis=-1) == targets).mean() > 0.95


def test_saved_and_loaded(tmp_path):
    model, (ids, images) = classifier().eval(), inputs()
    model.save(tmp_path / "model.safetensors")
    again = at.load(tmp_path / "model.safetensors")
    assert again.config == model.config
    assert_same_bits(again(ids, images), model(ids, images))


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"image_size": 7}, ValueError, r"image_size is \(7, 7\) but must be a multiple of patch_size"),
        ({"patch_size": 0}, ValueError, "patch_size is 0"),
        ({"pad_id": 9}, ValueError, "pad_id is 9 but must be 0 to 8"),
        ({"num_layers": 0}, ValueError, "num_layers is 0"),
        ({"num_heads": 3}, ValueError, "d_model is 8 and num_heads is 3"),
        ({"norm": "rms"}, TypeError, "norm"),
    ],
)
def test_wrong_constructions(change, error, says):
    arguments = {"image_size": 6, "patch_size": 3, "d_model": 8, "num_heads": 2, "max_len": 4}
    with pytest.raises(error, match=says):
        at.models.CrossModalClassifier(V, 3, **{**arguments, **change})


def test_wrong_calls():
    model, (ids, images) = classifier(), inputs()
    with pytest.raises(ValueError, match="ids has 8 positions but max_len is 7"):
        model(np.ones((3, 8), int), images)
    with pytest.raises(ValueError, match="images has shape"):
        model(ids, images[:2])
    with pytest.raises(TypeError, match="images has dtype float32 but the model is float64"):
        model(ids, images.astype("float32"))

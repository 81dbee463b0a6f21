"""nn.CrossModalAttention: a text and an image that attend to each other."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

D, HEADS, DT, DI, LT, LI = 6, 2, 4, 5, 3, 7


def layer(dtype=np.float64, **options):
    options = {"text_dim": DT, "image_dim": DI, "dtype": str(np.dtype(dtype)), **options}
    return randomized(at.nn.CrossModalAttention(D, HEADS, **options))


def inputs(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(dtype) for s in [(2, LT, DT), (2, LI, DI)]]


TEXT = np.arange(LT) < np.array([[LT], [1]])
IMAGE = np.arange(LI) < np.array([[4], [LI]])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(masked, dtype):
    """Both results side by side, as one."""
    masks = (TEXT, IMAGE) if masked else (None, None)
    given = {"text_mask": TEXT, "image_mask": at.masks.lengths([4, LI])} if masked else {}

    def backward(d, text, image, p):
        d_text, d_image = np.split(d, [LT], axis=1)
        return reference.cross_modal_attention_backward(d_text, d_image, text, image, p, HEADS, *masks)

    check_layer(
        layer(dtype),
        inputs(dtype),
        lambda t, i, p: np.concatenate(reference.cross_modal_attention(t, i, p, HEADS, *masks)[:2], axis=1),
        backward,
        lambda m, t, i: at.functional.concatenate(m(t, i, **given)[0], axis=1),
    )


def test_weights():
    module, (text, image) = layer(), inputs()
    (t, i), (t_weights, i_weights) = module(text, image, text_mask=TEXT, image_mask=IMAGE)
    expected = reference.cross_modal_attention(text, image, in_double(module), HEADS, TEXT, IMAGE)
    for got, right in zip((t, i, t_weights, i_weights), expected, strict=True):
        assert_close(got, right)
    plain = module(text, image, text_mask=TEXT, image_mask=IMAGE, return_weights=False)
    assert_same_bits(plain[0], t)
    assert_same_bits(plain[1], i)
    assert (t_weights.numpy()[0, :, :, 4:] == 0).all() and (i_weights.numpy()[1, :, :, 1:] == 0).all()


def test_padding_does_not_matter():
    module, (text, image) = layer(), inputs()
    padded = image.copy()
    padded[0, 4:] = 1e3
    (t, _), _ = module(text, padded, image_mask=IMAGE)
    (expected, _), _ = module(text[:1], image[:1, :4])
    assert_close(t.numpy()[:1], expected)


def test_the_two_sides_are_alike():
    """With the parameters of the two sides exchanged, so are the results."""
    module = layer(text_dim=DI, image_dim=DI)
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 3, DI)), rng.standard_normal((2, 4, DI))
    (t, i), _ = module(a, b)
    swapped = {}
    for name, value in module.state_dict().items():
        other = (
            name.replace("text_", "image_") if name.startswith("text_") else name.replace("image_", "text_")
        )
        swapped[other] = value
    module.load_state_dict(swapped)
    (t_again, i_again), _ = module(b, a)
    assert_same_bits(t_again, i)
    assert_same_bits(i_again, t)


def test_dropout_is_for_training():
    module, plain, (text, image) = layer(dropout=0.5), layer(), inputs()
    assert (module(text, image)[0][0].numpy() != plain(text, image)[0][0].numpy()).any()
    for got, right in zip(module.eval()(text, image)[0], plain(text, image)[0], strict=True):
        assert_same_bits(got, right)


T, I = inputs()  # noqa: E741


@pytest.mark.parametrize(
    ("text", "image", "options", "error", "says"),
    [
        (T[0], I, {}, ValueError, r"text has shape \(3, 4\)"),
        (T, I[..., :4], {}, ValueError, "image has 4 features but must have 5"),
        (T, I[:1], {}, ValueError, "image has a batch of 1 but text has one of 2"),
        (T.astype(np.float32), I, {}, TypeError, "text has dtype float32"),
        (T, None, {}, TypeError, "image is None"),
        (T, I, {"text_mask": IMAGE}, ValueError, r"text_mask has shape \(2, 7\) but must be \(2, 3\)"),
        (T, I, {"image_mask": IMAGE.astype(float)}, TypeError, "image_mask has dtype float64"),
        (T, I, {"image_mask": at.masks.causal}, TypeError, "image_mask is a function"),
    ],
)
def test_wrong_calls(text, image, options, error, says):
    with pytest.raises(error, match=f"^CrossModalAttention: .*{says}"):
        layer()(text, image, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((6, 4), {}, ValueError, "d_model is 6 and num_heads is 4"),
        ((6, 2), {"text_dim": 0}, ValueError, "text_dim is 0"),
        ((6, 2), {"dropout": -1.0}, ValueError, "dropout is -1"),
        ((6, "2"), {}, TypeError, "num_heads is a str"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=f"^CrossModalAttention: .*{says}"):
        at.nn.CrossModalAttention(*arguments, **options)

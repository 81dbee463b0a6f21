"""EncoderLayer and Encoder: self-attention and feed-forward network, post- and pre-norm."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits

D, HEADS, DFF, LENGTH = 12, 3, 20, 7
NORMS = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])


def array(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def layer(**options):
    return randomized(at.nn.EncoderLayer(D, HEADS, DFF, **{"dtype": "float64", **options}))


def stack(layers, **options):
    return randomized(at.nn.Encoder(layers, D, HEADS, DFF, **{"dtype": "float64", **options}))


MASKS = {
    "none": (None, None),
    "causal": (at.masks.causal(), np.tril(np.ones((LENGTH, LENGTH), bool))),
    "lengths": (
        at.masks.lengths([LENGTH, 4]),
        (np.arange(LENGTH) < np.array([[LENGTH], [4]]))[:, None, None],
    ),
}


@NORMS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer(norm_first, activation, form, dtype):
    mask, dense = MASKS[form]
    options = {"norm_first": norm_first, "activation": activation}
    check_layer(
        layer(dtype=str(dtype), **options),
        [array(2, LENGTH, D, dtype=dtype)],
        lambda x, p: reference.encoder_layer(x, p, HEADS, dense, **options)[0],
        lambda d_y, x, p: reference.encoder_layer_backward(d_y, x, p, HEADS, dense, **options),
        lambda m, x: m(x, mask)[0],
    )


@NORMS
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_stack(layers, norm_first):
    mask, dense = MASKS["lengths"]
    module = stack(layers, norm_first=norm_first)
    if module.parameters():
        check_layer(
            module,
            [array(2, LENGTH, D)],
            lambda x, p: reference.encoder(x, p, HEADS, dense, norm_first)[0],
            lambda d_y, x, p: reference.encoder_backward(d_y, x, p, HEADS, dense, norm_first),
            lambda m, x: m(x, mask)[0],
        )
    else:
        x = array(2, LENGTH, D)
        assert_same_bits(module(x, mask)[0], x)


@NORMS
def test_attention_of_every_layer(norm_first):
    mask, dense = MASKS["causal"]
    module, x = stack(2, norm_first=norm_first), array(2, LENGTH, D)
    y, attention = module(x, mask)
    expected, weights = reference.encoder(x, in_double(module), HEADS, dense, norm_first)
    assert_close(y, expected)
    assert len(attention) == 2
    for got, right in zip(attention, weights, strict=True):
        assert_close(got, right)
    assert_same_bits(module(x, mask, return_weights=False), y)


@NORMS
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch(torch, norm_first, activation, dtype):
    theirs = torch.nn.TransformerEncoderLayer(
        D, HEADS, DFF, dropout=0.0, activation=activation, norm_first=norm_first, batch_first=True,
        dtype=getattr(torch, str(dtype)),
    )  # fmt: skip
    assert_torch_agrees(
        torch,
        layer(dtype=str(dtype), norm_first=norm_first, activation=activation),
        theirs,
        [array(2, LENGTH, D, dtype=dtype)],
        lambda m, x: m(x)[0],
        lambda m, x: m(x),
        lambda name: name.removeprefix("feed_forward."),
    )


@NORMS
def test_padding_does_not_matter(norm_first):
    module, x = stack(2, norm_first=norm_first), array(1, LENGTH, D)
    expected, _ = module(x)
    padded = np.concatenate([x, np.full((1, 5, D), 1e3)], axis=1)
    got, _ = module(padded, at.masks.lengths([LENGTH]))
    assert_close(got.numpy()[:, :LENGTH], expected)


@NORMS
def test_without_positions_the_order_does_not_matter(norm_first):
    module, x = stack(2, norm_first=norm_first), array(2, LENGTH, D)
    order = np.random.default_rng(1).permutation(LENGTH)
    assert_close(module(x[:, order])[0], module(x)[0].numpy()[:, order])


def test_dropout_is_for_training():
    module, plain, x = stack(2, dropout=0.3), stack(2), array(2, LENGTH, D)
    assert (module(x)[0].numpy() != plain(x)[0].numpy()).any()
    assert_same_bits(module.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((12, 5, 8), {}, ValueError, "d_model is 12 and num_heads is 5"),
        ((12, 3, 0), {}, ValueError, "is 0 but must be 1 or more"),
        ((12, 3, 8), {"activation": "x"}, ValueError, "activation is 'x'"),
        ((12, 3, 8), {"dropout": -1}, ValueError, "is -1"),
        ((12, 3, 8), {"dtype": int}, TypeError, "dtype is"),
        ((12, 3, None), {}, TypeError, "dff is a NoneType"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=says):
        at.nn.EncoderLayer(*arguments, **options)
    with pytest.raises(error, match=says):
        at.nn.Encoder(2, *arguments, **options)


def test_wrong_calls():
    module = layer()
    for x, error in [
        (array(LENGTH, D), ValueError),
        (array(2, LENGTH, D + 1), ValueError),
        (array(2, LENGTH, D, dtype=np.float32), TypeError),
        (np.zeros((2, LENGTH, D), int), TypeError),
        (None, TypeError),
    ]:
        with pytest.raises(error, match=r"^\w+: "):
            module(x)
    with pytest.raises(ValueError, match="num_layers is -1"):
        at.nn.Encoder(-1, D, HEADS, DFF)
    with pytest.raises(TypeError, match="bias="):
        module(array(2, LENGTH, D), np.ones((LENGTH, LENGTH)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("lengths", [[5, 2, 7], [7, 7, 7], [0, 3, 1], [0, 0, 0]])
def test_without_padding_is_the_masked_output_at_the_real_positions(lengths, norm_first, dtype):
    encoder = at.nn.Encoder(
        2, 12, 3, 20, norm_first=norm_first, activation="gelu", dtype=dtype, seed=0
    ).eval()
    x = np.random.default_rng(0).standard_normal((3, 7, 12)).astype(dtype)
    real = np.arange(7) < np.array(lengths)[:, None]
    x[~real] = np.nan  # what stands at the padding does not matter
    y = encoder.without_padding(x, lengths)
    assert not y.requires_grad
    x[~real] = 0
    expected = encoder(x, mask=at.masks.lengths(lengths), return_weights=False).numpy()
    assert_close(y.numpy()[real], expected[real])
    assert (y.numpy()[~real] == 0).all()


def test_without_padding_checks_its_arguments():
    encoder, x = at.nn.Encoder(1, 12, 3, 20, seed=0), np.zeros((2, 5, 12), np.float32)
    with pytest.raises(ValueError, match="in training mode"):
        encoder.without_padding(x, [5, 2])
    encoder.eval()
    for lengths, says in (
        ([5], "lengths has shape"),
        ([6, 1], "lengths holds 6"),
        ([1, -1], "lengths holds -1"),
    ):
        with pytest.raises(ValueError, match=says):
            encoder.without_padding(x, lengths)
    with pytest.raises(TypeError, match="lengths has dtype float64"):
        encoder.without_padding(x, [1.0, 2.0])
    with pytest.raises(ValueError, match="x has shape"):
        encoder.without_padding(x[0], [5, 2])
    with pytest.raises(ValueError, match="rotary"):
        at.nn.Encoder(1, 12, 3, 20, rotary=True).eval().without_padding(x, [5, 2])

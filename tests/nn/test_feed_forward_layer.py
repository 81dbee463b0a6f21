"""FeedForward: linear, activation, dropout, linear."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES
from layer_check import assert_torch_agrees, check_layer, randomized
from tolerance import assert_same_bits


def array(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", SIZES)
def test_against_reference(length, dtype, activation):
    check_layer(
        randomized(at.nn.FeedForward(6, 17, activation=activation, dtype=str(dtype))),
        [array(2, length, 6, dtype=dtype)],
        lambda x, p: reference.feed_forward_layer(x, p, activation),
        lambda d_y, x, p: reference.feed_forward_layer_backward(d_y, x, p, activation),
    )


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
def test_torch(torch, activation):
    ours = randomized(at.nn.FeedForward(6, 17, activation=activation, dtype="float64"))
    act = {
        "relu": torch.nn.ReLU(),
        "gelu": torch.nn.GELU(),
        "gelu_tanh": torch.nn.GELU(approximate="tanh"),
        "silu": torch.nn.SiLU(),
    }[activation]
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 17), act, torch.nn.Linear(17, 6)).double()
    names = {"linear1": "0", "linear2": "2"}
    assert_torch_agrees(
        torch,
        ours,
        theirs,
        [array(2, 5, 6)],
        lambda m, x: m(x),
        lambda m, x: m(x),
        lambda name: f"{names[name.split('.')[0]]}.{name.split('.')[1]}",
    )


def test_any_number_of_leading_axes():
    module, x = randomized(at.nn.FeedForward(6, 17, dtype="float64")), array(2, 3, 5, 6)
    y = module(x).numpy()
    assert_same_bits(module(x.reshape(30, 6)).numpy().reshape(x.shape), y)


def test_dropout_is_for_training():
    module, x = randomized(at.nn.FeedForward(6, 100, dropout=0.5, dtype="float64")), array(4, 5, 6)
    plain = randomized(at.nn.FeedForward(6, 100, dtype="float64"))
    assert (module(x).numpy() != plain(x).numpy()).any()
    assert_same_bits(module.eval()(x), plain(x))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((0, 8), {}, ValueError, "is 0 but must be 1 or more"),
        ((8, 0), {}, ValueError, "is 0 but must be 1 or more"),
        ((8, 8), {"activation": "swish"}, ValueError, "activation is 'swish' but must be 'relu', 'gelu'"),
        ((8, 8), {"dropout": 1.5}, ValueError, "p is 1.5|dropout is 1.5"),
        ((8, "8"), {}, TypeError, "dff is a str"),
    ],
)
def test_wrong_constructions(arguments, options, error, says):
    with pytest.raises(error, match=says):
        at.nn.FeedForward(*arguments, **options)


def test_wrong_input():
    with pytest.raises(ValueError, match="x has 5 features"):
        at.nn.FeedForward(6, 8)(array(2, 5, dtype=np.float32))

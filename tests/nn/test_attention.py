"""nn.Attention: the layer of one head over features."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES
from layer_check import check_layer, in_double, randomized
from tolerance import assert_close, assert_same_bits


def layer(dtype=np.float64):
    return randomized(at.nn.Attention(6, 4, dtype=str(np.dtype(dtype))))


def array(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


MASKS = {
    "none": (None, None),
    "causal": (at.masks.causal(), np.tri(7, dtype=bool)),
    "lengths": (at.masks.lengths([7, 3]), (np.arange(7) < np.array([[7], [3]]))[:, None, None]),
    "dense": (np.arange(7) < np.array([[[7]], [[3]]]), (np.arange(7) < np.array([[7], [3]]))[:, None, None]),
}


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_reference(form, dtype):
    mask, dense = MASKS[form]
    check_layer(
        layer(dtype),
        [array(2, 7, 6, dtype=dtype)],
        lambda x, p: reference.attention(x, p, dense)[0],
        lambda d_y, x, p: reference.attention_backward(d_y, x, p, dense),
        lambda m, x: m(x, mask=mask),
    )


def test_weights():
    module, x = layer(), array(2, 7, 6)
    out, weights = module(x, return_weights=True)
    assert_close(weights, reference.attention(x, in_double(module))[1])
    assert_same_bits(module(x), out)
    assert_same_bits(at.nn.Sequential(module)(x), out)


def test_names_are_those_of_the_article():
    names = set(at.nn.Attention(512, 256).state_dict())
    assert names == {f"{n}.{p}" for n in ("W_Q", "W_K", "W_V", "fc") for p in ("weight", "bias")}


@pytest.mark.parametrize(
    ("x", "options", "error", "says"),
    [
        (array(7, 6), {}, ValueError, r"x has shape \(7, 6\)"),
        (array(2, 7, 5), {}, ValueError, "x has 5 features but must have 6"),
        (array(2, 7, 6, dtype=np.float32), {}, TypeError, "x has dtype float32"),
        (None, {}, TypeError, "x is None"),
        (array(2, 7, 6), {"mask": np.ones((3, 7), bool)}, ValueError, "mask has shape"),
        (array(2, 7, 6), {"mask": np.ones((7, 7))}, TypeError, "mask has dtype float64"),
    ],
)
def test_wrong_calls(x, options, error, says):
    with pytest.raises(error, match=rf"^(Attention|Linear|attention): .*{says}"):
        layer()(x, **options)


@pytest.mark.parametrize(
    ("sizes", "error"), [((0, 4), ValueError), ((6, -1), ValueError), ((6.0, 4), TypeError)]
)
def test_wrong_constructions(sizes, error):
    with pytest.raises(error, match="_features is"):
        at.nn.Attention(*sizes)

"""RMSNorm and GLU: one operation, and a parameter where there is one."""

import numpy as np
import pytest

import attendo as at
from attendo import nn, reference
from inputs import DTYPES
from layer_check import assert_torch_agrees, check_layer, randomized
from tolerance import assert_same_bits


def array(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rms_norm_layer(dtype):
    def backward(d_y, x, p):
        d_x, d_weight = reference.rms_norm_backward(d_y, x, p["weight"], eps=1e-3)
        return d_x, {"weight": d_weight}

    check_layer(
        randomized(nn.RMSNorm(6, eps=1e-3, dtype=str(dtype))),
        [array(2, 5, 6, dtype=dtype)],
        lambda x, p: reference.rms_norm(x, p["weight"], eps=1e-3),
        backward,
    )


def test_rms_norm_starts_with_ones():
    norm = nn.RMSNorm(3)
    assert norm.state_dict()["weight"].tolist() == [1, 1, 1]
    assert repr(norm) == "RMSNorm(3, eps=1e-06)"
    assert norm.state_dict()["weight"].dtype == np.float32


def test_torch_rms_norm(torch):
    assert_torch_agrees(
        torch,
        randomized(nn.RMSNorm(6, eps=1e-5)),
        torch.nn.RMSNorm(6, eps=1e-5),
        [array(3, 6, dtype=np.float32)],
        lambda m, x: m(x),
        lambda m, x: m(x),
        lambda name: name,
    )


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "gelu", "gelu_tanh", "relu", None])
def test_glu_layer(activation):
    layer, x = nn.GLU(activation), array(2, 5, 6)
    assert_same_bits(layer(x), at.functional.glu(x, activation))
    assert layer.parameters() == [] and repr(layer) == f"GLU(activation={activation!r})"


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.RMSNorm(0), ValueError, "RMSNorm: normalized_shape is 0 but must be 1 or more"),
        (lambda: nn.RMSNorm(3, eps=-1.0), ValueError, "RMSNorm: eps is -1"),
        (lambda: nn.RMSNorm(3, eps="x"), TypeError, "RMSNorm: eps is a str"),
        (lambda: nn.RMSNorm(3)(array(2, 4, dtype=np.float32)), ValueError, "RMSNorm: x has 4 features"),
        (lambda: nn.RMSNorm(3)(array(2, 3)), TypeError, "float64"),
        (lambda: nn.GLU("swish"), ValueError, "GLU: activation is 'swish' but must be 'sigmoid'"),
        (lambda: nn.GLU(3), TypeError, "GLU: activation is a int"),
        (lambda: nn.GLU()(array(2, 3)), ValueError, "x has 3 features but must have an even number"),
    ],
)
def test_wrong(make, error, says):
    with pytest.raises(error, match=says):
        make()

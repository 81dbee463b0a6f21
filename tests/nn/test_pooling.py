"""Pooling as layers: each is its function."""

import numpy as np
import pytest

import attendo as at
from attendo import nn
from inputs import DTYPES
from tolerance import assert_same_bits

F = at.functional
SEQUENCES = [
    (nn.MaxPool1d(2), lambda x: F.max_pool1d(x, 2)),
    (
        nn.MaxPool1d(3, 2, 1, 2, ceil_mode=True),
        lambda x: F.max_pool1d(x, 3, stride=2, padding=1, dilation=2, ceil_mode=True),
    ),
    (nn.AvgPool1d(2), lambda x: F.avg_pool1d(x, 2)),
    (
        nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        lambda x: F.avg_pool1d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
    ),
    (nn.AdaptiveAvgPool1d(3), lambda x: F.adaptive_avg_pool1d(x, 3)),
    (nn.AdaptiveMaxPool1d(None), lambda x: F.adaptive_max_pool1d(x, None)),
]
IMAGES = [
    (nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2)),
    (
        nn.MaxPool2d((3, 2), 2, (1, 0), (2, 1), ceil_mode=True),
        lambda x: F.max_pool2d(x, (3, 2), stride=2, padding=(1, 0), dilation=(2, 1), ceil_mode=True),
    ),
    (nn.AvgPool2d((3, 2)), lambda x: F.avg_pool2d(x, (3, 2))),
    (
        nn.AvgPool2d(3, (2, 1), (0, 1), ceil_mode=True, count_include_pad=False),
        lambda x: F.avg_pool2d(x, 3, stride=(2, 1), padding=(0, 1), ceil_mode=True, count_include_pad=False),
    ),
    (nn.AdaptiveAvgPool2d((None, 2)), lambda x: F.adaptive_avg_pool2d(x, (None, 2))),
    (nn.AdaptiveMaxPool2d(2), lambda x: F.adaptive_max_pool2d(x, 2)),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("module", "function", "shape"),
    [(*pair, (2, 3, 9)) for pair in SEQUENCES] + [(*pair, (2, 3, 9, 8)) for pair in IMAGES],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else "",
)
def test_layer_is_its_function(module, function, shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    tensors = [at.tensor(x, requires_grad=True) for _ in range(2)]
    y, expected = module(tensors[0]), function(tensors[1])
    assert_same_bits(y, expected)
    assert_same_bits(y, function(x))
    y.sum().backward()
    expected.sum().backward()
    assert_same_bits(tensors[0].grad, tensors[1].grad)
    assert module.parameters() == [] and module.state_dict() == {}


def test_repr():
    assert repr(nn.MaxPool1d(2)) == "MaxPool1d(kernel_size=2, stride=2, padding=0)"
    assert repr(nn.MaxPool2d(3, 1, 1, 2, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(2, 2), ceil_mode=True)"
    )
    assert repr(nn.AvgPool2d(2, count_include_pad=False)) == (
        "AvgPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), count_include_pad=False)"
    )
    assert repr(nn.AdaptiveAvgPool1d(3)) == "AdaptiveAvgPool1d(output_size=3)"
    assert repr(nn.AdaptiveMaxPool2d((None, 3))) == "AdaptiveMaxPool2d(output_size=(None, 3))"


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: nn.MaxPool1d(0), ValueError, "MaxPool1d: kernel_size is 0 but must be 1 or more"),
        (lambda: nn.MaxPool1d(2, padding=2), ValueError, "MaxPool1d: padding is 2 but must be 0 to 1"),
        (lambda: nn.MaxPool1d((2, 2)), TypeError, "MaxPool1d: kernel_size is a tuple"),
        (lambda: nn.MaxPool2d(2, dilation=0), ValueError, "MaxPool2d: dilation is 0 but must be 1 or more"),
        (lambda: nn.MaxPool2d(2, padding="same"), TypeError, "MaxPool2d: padding is a str"),
        (lambda: nn.AvgPool1d(2, stride=0), ValueError, "AvgPool1d: stride is 0 but must be 1 or more"),
        (
            lambda: nn.AvgPool2d((2, 3), padding=(2, 0)),
            ValueError,
            "AvgPool2d: padding is 2 but must be 0 to 1",
        ),
        (lambda: nn.AvgPool2d(None), TypeError, "AvgPool2d: kernel_size is a NoneType"),
        (lambda: nn.AdaptiveAvgPool1d(0), ValueError, "AdaptiveAvgPool1d: output_size is 0"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), ValueError, "AdaptiveAvgPool2d: output_size has 3 entries"),
        (lambda: nn.AdaptiveMaxPool1d((2, 3)), TypeError, "AdaptiveMaxPool1d: output_size is a tuple"),
        (lambda: nn.AdaptiveMaxPool2d(-1), ValueError, "AdaptiveMaxPool2d: output_size is -1"),
    ],
)
def test_wrong_constructions(make, error, says):
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize("module", [module for module, _ in SEQUENCES + IMAGES], ids=repr)
def test_wrong_input(module):
    for x in (np.ones((3, 4)), np.ones((1, 2, 3, 4, 5))):
        with pytest.raises(ValueError, match=r"pool[12]d: x has shape"):
            module(x)
    with pytest.raises(TypeError, match="x"):
        module(None)


def test_python_may_subclass_a_pool():
    class Doubled(nn.AdaptiveAvgPool1d):
        def forward(self, x):
            return super().forward(x) * 2

    x = np.ones((1, 2, 6))
    np.testing.assert_array_equal(nn.Sequential(Doubled(1))(x), np.full((1, 2, 1), 2.0))

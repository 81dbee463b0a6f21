"""Adaptive pooling, mean and max, of sequences and images: the size of the result is given."""

import numpy as np
import pytest

import attendo as at
from inputs import case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

IMAGES = [
    case((2, 3, 6, 8), output_size=2),
    case((2, 3, 7, 5), output_size=(3, 2)),
    case((2, 3, 7, 5), output_size=1),
    case((2, 3, 7, 5), output_size=[None, 2]),
    case((2, 3, 7, 5), output_size=None).but_not("torch"),  # which knows None in a pair only
    case((2, 3, 3, 2), output_size=(5, 7)),  # more outputs than inputs
    case((1, 1, 1, 1), output_size=3),
    case((0, 3, 4, 4), output_size=2),
]
SEQUENCES = [
    case((2, 3, 7), output_size=3),
    case((2, 3, 7), output_size=1),
    case((2, 3, 7), output_size=None).but_not("torch"),  # whose functions for sequences know no None
    case((2, 3, 3), output_size=5),
    case((0, 3, 4), output_size=2),
]
IMAGE_ERRORS = [
    wrong((3, 4, 4), output_size=2, says="x has shape (3, 4, 4) but must have 4 axes"),
    wrong((1, 3, 0, 4), output_size=2, says="there is nothing to pool"),
    wrong((1, 3, 4, 4), output_size=0, says="output_size is 0 but must be 1 or more"),
    wrong((1, 3, 4, 4), output_size=-1, says="output_size is -1 but must be 1 or more"),
    wrong((1, 3, 4, 4), output_size=(1, 0), says="output_size is 0 but must be 1 or more"),
    wrong((1, 3, 4, 4), output_size=(1, 2, 3), says="output_size has 3 entries"),
    wrong((1, 3, 4, 4), output_size=2**62, says="output_size is"),
    wrong((1, 3, 4, 4), output_size=2.0, raises=TypeError, says="output_size is a float"),
    wrong(None, output_size=2, raises=TypeError, says="x is None"),
]
SEQUENCE_ERRORS = [
    wrong((3, 4), output_size=2, says="x has shape (3, 4) but must have 3 axes"),
    wrong((1, 3, 0), output_size=2, says="there is nothing to pool"),
    wrong((1, 3, 4), output_size=0, says="output_size is 0 but must be 1 or more"),
    wrong((1, 3, 4), output_size=(2, 2), raises=TypeError, says="output_size is a tuple"),
    wrong(None, output_size=2, raises=TypeError, says="x is None"),
]


def adaptive(name, cases, large, errors):
    return op_tests(
        name,
        "x",
        cases,
        large=[large],
        errors=errors,
        huge=lambda: (np.zeros((2**18,) + (1,) * (len(cases[0].inputs[0]) - 1)), {"output_size": 2**30}),
        torch=lambda torch, x, output_size: getattr(torch.nn.functional, name)(x, output_size),
    )


TestAdaptiveAvgPool1d = adaptive(
    "adaptive_avg_pool1d", SEQUENCES, case((300, 16, 100), output_size=7), SEQUENCE_ERRORS
)
TestAdaptiveMaxPool1d = adaptive(
    "adaptive_max_pool1d", SEQUENCES, case((300, 16, 100), output_size=7), SEQUENCE_ERRORS
)
TestAdaptiveAvgPool2d = adaptive(
    "adaptive_avg_pool2d", IMAGES, case((30, 16, 33, 34), output_size=5), IMAGE_ERRORS
)
TestAdaptiveMaxPool2d = adaptive(
    "adaptive_max_pool2d", IMAGES, case((30, 16, 33, 34), output_size=5), IMAGE_ERRORS
)


def test_one_output_sees_all():
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 7))
    assert_close(at.functional.adaptive_avg_pool2d(x, 1), x.mean((2, 3), keepdims=True))
    assert_same_bits(at.functional.adaptive_max_pool2d(x, 1), x.max((2, 3), keepdims=True))


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_sizes_that_divide_are_windows(kind):
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    y = getattr(at.functional, f"adaptive_{kind}_pool2d")(x, (4, 3))
    assert_same_bits(y, getattr(at.functional, f"{kind}_pool2d")(x, (2, 3)))


def test_nan_is_a_maximum_and_ties_take_the_first():
    x = at.tensor(np.array([[[1.0, 1.0, np.nan, 2.0]]]), requires_grad=True)
    y = at.functional.adaptive_max_pool1d(x, 2)
    np.testing.assert_array_equal(y, [[[1, np.nan]]])
    y.backward(np.array([[[5.0, 7.0]]]))
    np.testing.assert_array_equal(x.grad.numpy(), [[[5, 0, 7, 0]]])

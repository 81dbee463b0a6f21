"""sum, mean and max over some axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import attendo as at
from inputs import SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_close

CASES = [
    case((3, 4, 5)),
    case(()),
    case((3, 4, 5), axis=1),
    case((3, 4, 5), axis=-1),
    case((3, 4, 5), axis=(0, 2)),
    case((3, 4, 5), axis=(2, 0), keepdims=True),
    case((3, 4, 5), keepdims=True),
    case((2, 3, 4, 5), axis=(1, 2)),
    case((0, 3), axis=1),
    case((2, 1, 3), axis=1),
    *(case((n, 4), axis=0) for n in SIZES if n),
    *(case((4, n), axis=1) for n in SIZES if n),
    *(case((3, n), axis=0) for n in SIZES),
    *(case((n,)) for n in SIZES if n),
]
LARGE = [
    case((300, 1000)),
    case((300, 1000), axis=0),
    case((300, 1000), axis=1),
    case((50, 60, 70), axis=(0, 2)),
    case((50, 60, 70), axis=1),
    case((3, 700, 200), axis=1),
]


def axis_of(axis, x):
    return tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())


def by_torch(function):
    return lambda torch, x, axis=None, keepdims=False: function(torch, x, axis_of(axis, x), keepdims)


def reduction(name, torch_function, cases, errors=(), **more):
    return op_tests(
        name,
        "x",
        cases,
        large=LARGE,
        torch=by_torch(torch_function),
        errors=[
            wrong((2, 3), axis=2, says="axis"),
            wrong((2, 3), axis=-3, says="axis"),
            wrong((2, 3), axis=(0, 0), says="axis 0 is given twice"),
            wrong((2, 3), axis=(0, -2), says="axis"),
            wrong((2, 3), axis=2**40, says="axis"),
            wrong((2, 3), axis=1.0, raises=TypeError, says="axis is a float"),
            wrong((2, 3), axis="rows", raises=TypeError, says="axis is a str"),
            wrong(None, raises=TypeError, says="x is None"),
            *errors,
        ],
        **more,
    )


def sum_by_torch(torch, x, axes, keepdims):
    return x.sum(axes, keepdims) if axes else x.clone()


def mean_by_torch(torch, x, axes, keepdims):
    return x.mean(axes, keepdims) if axes else x.clone()


def max_by_torch(torch, x, axes, keepdims):
    return x.amax(axes, keepdims) if axes else x.clone()


NOTHING = [wrong((0, 3), axis=0, says="x has shape (0, 3)"), wrong((0,), says="x has shape (0,)")]

TestSum = reduction(
    "sum", sum_by_torch, [*CASES, case((0, 3)), case((0, 3), axis=0), case((0,), keepdims=True)]
)
TestMean = reduction("mean", mean_by_torch, CASES, NOTHING)
TestMax = reduction("max", max_by_torch, CASES, NOTHING)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_of_equal_maxima_the_first_gets_the_gradient(axis):
    x = at.tensor([[1.0, 3.0, 3.0], [3.0, 0.0, 3.0]], requires_grad=True)
    y = at.functional.max(x, axis=axis)
    y.backward(np.ones(y.shape))
    expected = {
        None: [[0, 1, 0], [0, 0, 0]],
        0: [[0, 1, 1], [1, 0, 0]],
        1: [[0, 1, 0], [1, 0, 0]],
    }
    np.testing.assert_array_equal(x.grad.numpy(), expected[axis])


def test_an_empty_tuple_of_axes_reduces_nothing():
    x = np.arange(6.0).reshape(2, 3)
    for name in ("sum", "mean", "max"):
        np.testing.assert_array_equal(getattr(at.functional, name)(x, axis=()), x)


def test_axes_as_list():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(at.functional.sum(x, axis=[0, 2]), x.sum((0, 2)))


@given(array_shapes(max_dims=4, max_side=4), st.data())
def test_any_axes(shape, data):
    axes = data.draw(
        st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape), min_size=1)
    )
    keepdims = data.draw(st.booleans())
    x = np.random.default_rng(0).standard_normal(shape)
    for name in ("sum", "mean", "max"):
        expected = getattr(np, name)(x, axis=tuple(axes), keepdims=keepdims)
        assert_close(getattr(at.functional, name)(x, axis=tuple(axes), keepdims=keepdims), expected)


def test_the_sum_of_many_small_numbers_keeps_its_digits():
    """Adding one after the other would stop growing at 2²⁴ in float32."""
    n = 2**25
    x = np.broadcast_to(np.ones(1, np.float32), (n,)).copy()
    assert at.functional.sum(x) == n
    assert at.functional.mean(x) == 1


def test_nan_is_the_maximum():
    x = np.array([[1.0, np.nan, 3.0], [-np.inf, -np.inf, -np.inf]])
    np.testing.assert_array_equal(at.functional.max(x, axis=1), [np.nan, -np.inf])

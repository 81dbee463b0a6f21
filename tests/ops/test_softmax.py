"""softmax and log_softmax over one axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import attendo as at
from inputs import SIZES, case, normal, wrong
from op_check import op_tests
from tolerance import assert_close

CASES = [
    case((2, 4, 3)),
    case((2, 7, 3), axis=1),
    case((5, 2, 3), axis=0),
    case((5, 2, 3), axis=-3),
    case((5, 7, 1), axis=1),
    case((7, 1, 1), axis=0),
    case((2, 0)),
    case((0, 3)),
    case((3, 0, 2), axis=1),
    case(normal(6, 9, scale=100)),
    *(case((n,)) for n in SIZES),
    *(case((3, n)) for n in SIZES),
    *(case((n, 5), axis=0) for n in SIZES),
]
LARGE = [case((300, 333)), case((2, 70000)), case((100, 50, 20), axis=1)]


def errors():
    return [
        wrong((), says="x has shape ()"),
        wrong((2, 3), axis=2, says="axis"),
        wrong((2, 3), axis=-3, says="axis"),
        wrong((2, 3), axis=100, says="axis"),
        wrong((2, 3), axis=2**70, says="axis"),
        wrong((2, 3), axis=0.5, raises=TypeError, says="axis is a float"),
        wrong((2, 3), axis="last", raises=TypeError, says="axis is a str"),
        wrong((2, 3), axis=None, raises=TypeError, says="axis is a NoneType"),
        wrong(None, raises=TypeError, says="x is None"),
    ]


TestSoftmax = op_tests(
    "softmax",
    "x",
    CASES,
    large=LARGE,
    torch=lambda torch, x, axis=-1: torch.softmax(x, axis),
    errors=errors(),
)
TestLogSoftmax = op_tests(
    "log_softmax",
    "x",
    CASES,
    large=LARGE,
    torch=lambda torch, x, axis=-1: torch.log_softmax(x, axis),
    errors=errors(),
)

FINITE = arrays(np.float64, array_shapes(max_dims=3, max_side=9), elements=st.floats(-1e6, 1e6))


@given(FINITE)
def test_rows_sum_to_one(x):
    y = at.functional.softmax(x)
    assert (y >= 0).all()
    assert_close(y.sum(-1), np.ones(x.shape[:-1]))


@given(FINITE, st.integers(-(2**20), 2**20))
def test_a_shift_changes_nothing(x, shift):
    x = np.round(x)  # so that the shift itself is exact
    np.testing.assert_array_equal(at.functional.softmax(x + shift), at.functional.softmax(x))


@given(FINITE)
def test_the_logarithm_is_that_of_softmax(x):
    assert_close(np.exp(at.functional.log_softmax(x)), at.functional.softmax(x), scale=np.abs(x).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 17, 100])
def test_a_row_of_minus_inf(n, dtype):
    x = at.tensor(np.full((2, n), -np.inf, dtype), requires_grad=True)
    y = at.functional.softmax(x)
    np.testing.assert_array_equal(y.numpy(), 0)
    y.backward(np.ones((2, n), dtype))
    np.testing.assert_array_equal(x.grad.numpy(), 0)
    x.zero_grad()
    z = at.functional.log_softmax(x)
    np.testing.assert_array_equal(z.numpy(), -np.inf)
    z.backward(np.ones((2, n), dtype))
    np.testing.assert_array_equal(x.grad.numpy(), 0)


def test_a_row_partly_minus_inf():
    y = at.functional.softmax(np.array([0.0, -np.inf, 0.0]))
    np.testing.assert_array_equal(y, [0.5, 0, 0.5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_below_the_maximum_is_zero_and_not_nan(dtype):
    x = np.array([0, -80, -90, -104, -700, -740, -760, -1e30], dtype)
    with np.errstate(under="ignore"):
        expected = np.exp(x.astype(np.float64)).astype(dtype)
    assert_close(at.functional.softmax(x), expected / expected.sum(dtype=np.float64))

"""add, subtract, multiply, divide with NumPy's broadcasting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import attendo as at
from attendo import reference
from inputs import SIZES, case, positive, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

SHAPES = [
    ((3, 4), (3, 4)),
    ((), ()),
    ((3,), ()),
    ((), (2, 3)),
    ((2, 3), (3,)),
    ((2, 3), (2, 1)),
    ((3, 1), (1, 4)),
    ((2, 1, 3), (5, 1)),
    ((2, 5, 3), (2, 1, 3)),
    ((2, 1, 1, 3), (2, 4, 5, 3)),
    ((1, 1, 1), (2,)),
    ((0, 3), (3,)),
    ((2, 0), (2, 1)),
    ((1,), (0,)),
    ((2, 3, 1, 5, 1), (3, 4, 1, 6)),
    *(((n,), (n,)) for n in SIZES),
    *(((3, n), (n,)) for n in SIZES),
    *(((n, 3), (n, 1)) for n in SIZES),
]
LARGE = [
    ((300, 1000), (300, 1000)),
    ((300, 1000), (1000,)),
    ((300, 1000), (300, 1)),
    ((1, 700), (500, 1)),
    ((40, 1, 30), (40, 50, 30)),
]


def binary(name, make=lambda *shape: shape):
    return op_tests(
        name,
        "a b",
        [case(a, make(*b)) for a, b in SHAPES],
        large=[case(a, make(*b)) for a, b in LARGE],
        torch=lambda torch, a, b: getattr(torch, name)(a, b),
        errors=[
            wrong((2, 3), (2,), says="a has shape (2, 3) and b has shape (2,)"),
            wrong((2, 3), (3, 2), says="a has shape (2, 3) and b has shape (3, 2)"),
            wrong((0,), (2,), says="a has shape (0,) and b has shape (2,)"),
            wrong(None, (2,), raises=TypeError, says="a is None"),
            wrong((2,), None, raises=TypeError, says="b is None"),
        ],
        huge=lambda: (np.zeros((2**23, 1), np.float32), np.zeros((1, 2**23), np.float32), {}),
    )


TestAdd = binary("add")
TestSubtract = binary("subtract")
TestMultiply = binary("multiply")
TestDivide = binary("divide", positive)

NAMES = ["add", "subtract", "multiply", "divide"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=5), st.integers(0, 2**16))
def test_any_shapes_that_broadcast(name, dtype, shapes, seed):
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.uniform(0.5, 2, shape), dtype) for shape in shapes.input_shapes]
    y = getattr(at.functional, name)(*arrays)
    assert_same_bits(y, getattr(np, name)(*arrays))  # one rounding each: nothing to differ in
    tensors = [at.tensor(x, requires_grad=True) for x in arrays]
    d_y = np.asarray(rng.standard_normal(y.shape), dtype)
    getattr(at.functional, name)(*tensors).backward(d_y)
    expected = getattr(reference, f"{name}_backward")(*(x.astype(np.float64) for x in (d_y, *arrays)))
    for tensor, gradient in zip(tensors, expected, strict=True):
        assert_close(tensor.grad, gradient, dtype, scale=float(y.size))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [3, 0.1, -2])
def test_a_number_takes_the_dtype_of_the_array(name, number):
    x = np.array([1.0, 2.0, 3.0], np.float32)
    function, numpy_function = getattr(at.functional, name), getattr(np, name)
    assert_same_bits(function(x, number), numpy_function(x, np.float32(number)))
    assert_same_bits(function(number, x), numpy_function(np.float32(number), x))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_tensor_twice(name):
    x = at.tensor([2.0, -3.0], requires_grad=True)
    getattr(at.functional, name)(x, x).backward(np.ones(2))
    expected = {"add": [2, 2], "subtract": [0, 0], "multiply": [4, -6], "divide": [0, 0]}
    np.testing.assert_array_equal(x.grad.numpy(), expected[name])


def test_division_by_zero_is_ieee():
    y = at.functional.divide(np.array([1.0, -1.0, 0.0]), np.zeros(3))
    np.testing.assert_array_equal(y, [np.inf, -np.inf, np.nan])

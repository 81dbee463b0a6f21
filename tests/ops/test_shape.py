"""reshape, transpose, slice, concatenate: operations that move entries and compute nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import attendo as at
from attendo import reference
from inputs import SIZES, case, wrong
from op_check import op_tests
from tolerance import assert_same_bits


def moves(name, cases, errors, torch, **more):
    """Tests of an operation that works on ids and masks as well: what is not float is no error."""
    tests = op_tests(name, "x", cases, errors=errors, torch=torch, **more)
    tests.test_wrong_type = None
    return tests


NONE = wrong(None, raises=TypeError, says="x is None")

TestReshape = moves(
    "reshape",
    [
        case((2, 6), shape=(3, 4)),
        case((2, 6), shape=(-1,)),
        case((2, 6), shape=12),
        case((2, 6), shape=[4, -1, 1]),
        case((1,), shape=()),
        case((), shape=(1, 1)),
        case((0, 3), shape=(5, 0)),
        case((0, 3), shape=(-1, 3)),
        *(case((n, 3), shape=(3, n)) for n in SIZES),
    ],
    [
        wrong((2, 6), shape=(5,), says="12 elements of shape (2, 6) do not fit the shape (5,)"),
        wrong((2, 6), shape=(-1, 5), says="(2, 6)"),
        wrong((2, 6), shape=(-1, -1), says="more than one -1"),
        wrong((2, 6), shape=(-2, -6), says="negative"),
        wrong((0, 3), shape=(0, -1), says="(0, -1)"),
        wrong((2, 6), shape=(2**62, 2**62), says="do not fit the shape"),
        wrong((2, 6), shape=(2**70,), says="shape"),
        wrong((2, 6), shape=(3.0, 4.0), raises=TypeError, says="shape is a float"),
        wrong((2, 6), shape="12", raises=TypeError, says="shape"),
        wrong((2, 6), shape=None, raises=TypeError, says="shape"),
        wrong((1,), shape=(1,) * 9, says="shape"),
        wrong(None, shape=(1,), raises=TypeError, says="x is None"),
    ],
    lambda torch, x, shape: x.reshape(shape),
    large=[case((300, 1000), shape=(1000, 300))],
)

TestTranspose = moves(
    "transpose",
    [
        case((2, 3, 4)),
        case((2, 3, 4), axes=(1, 0, 2)),
        case((2, 3, 4), axes=(-1, 0, 1)),
        case((2, 3, 4), axes=[0, 2, 1]),
        case(()),
        case((5,), axes=(0,)),
        case((2, 0, 3), axes=(2, 0, 1)),
        case((2, 3, 4, 5, 2), axes=(0, 3, 2, 4, 1)),
        *(case((n, 33)) for n in SIZES),
    ],
    [
        wrong((2, 3), axes=(0,), says="axes has 1 entries but x has 2 axes"),
        wrong((2, 3), axes=(0, 0), says="axis 0 twice"),
        wrong((2, 3), axes=(0, -2), says="twice"),
        wrong((2, 3), axes=(0, 2), says="axis"),
        wrong((2, 3), axes=(0, 2**50), says="axis"),
        wrong((2, 3), axes=(0.0, 1.0), raises=TypeError, says="axis is a float"),
        NONE,
    ],
    lambda torch, x, axes=None: x.permute(tuple(axes) if axes is not None else tuple(range(x.ndim))[::-1]),
    large=[case((300, 1000)), case((30, 40, 50, 6), axes=(0, 2, 1, 3))],
)

TestSlice = moves(
    "slice",
    [
        case((4, 5), key=(slice(1, 3), slice(None))),
        case((4, 5), key=2),
        case((4, 5), key=-1),
        case((4, 5), key=(1, -2)),
        case((4, 5), key=slice(None, None, 2)),
        case((4, 5), key=(slice(3, 1), slice(0, 2))),
        case((4, 5), key=(slice(-3, None), slice(1, -1, 3))),
        case((4, 5), key=(slice(0, 99), slice(-99, 2))),
        case((4, 5), key=(slice(1, 4, 99), 0)),
        case((4, 5), key=()),
        case((), key=()),
        case((0, 3), key=slice(0, 0)),
        case((2, 3, 4, 5), key=(slice(None), 1, slice(1, 3), slice(None, None, 2))),
        *(case((3, n), key=(slice(None), slice(n // 2, None))) for n in SIZES),
    ],
    [
        wrong((4, 5), key=4, raises=IndexError, says="index 4 is out of range for axis 0 of length 4"),
        wrong((4, 5), key=(0, -6), raises=IndexError, says="index -6 is out of range for axis 1"),
        wrong((4, 5), key=(0, 0, 0), says="key has 3 entries but x has 2 axes"),
        wrong((4, 5), key=slice(None, None, -1), says="key has step -1 but steps must be 1 or more"),
        wrong((4, 5), key=1.0, raises=TypeError, says="key holds a float"),
        wrong((4, 5), key=True, raises=TypeError, says="key holds a bool"),
        wrong((4, 5), key="a", raises=TypeError, says="key holds a str"),
        wrong((4, 5), key=([0, 1],), raises=TypeError, says="key holds a list"),
        wrong((4, 5), key=2**70, says="key"),
        wrong(None, key=0, raises=TypeError, says="x is None"),
    ],
    lambda torch, x, key: x[key],
    large=[case((300, 1000), key=(slice(1, None), slice(3, 990, 2)))],
)


def concatenated(*arrays, axis=0):
    return at.functional.concatenate([x for x in arrays if x is not None], axis=axis)


TestConcatenate = op_tests(
    "concatenate",
    "arrays also last",
    [
        case((2, 3), (4, 3), (1, 3)),
        case((2, 3), (2, 1), (2, 4), axis=1),
        case((2, 3), (2, 3), None, axis=-1),
        case((5,), None, None),
        case((2, 0), (2, 3), (2, 0), axis=1),
        case((0, 3), (0, 3), None),
        case((2, 3, 4), (2, 5, 4), None, axis=1),
        *(case((n, 2), (3, 2), (n, 2)) for n in SIZES),
        *(case((2, n), (2, 5), (2, n), axis=1) for n in SIZES),
    ],
    large=[case((300, 500), (300, 333), (300, 1), axis=1), case((500, 300), (333, 300), None)],
    function=concatenated,
    reference_function=lambda *arrays, axis=0: reference.concatenate(
        [x for x in arrays if x is not None], axis
    ),
    backward=lambda d_y, *arrays, axis=0: reference.concatenate_backward(
        d_y, [x for x in arrays if x is not None], axis
    ),
    torch=lambda torch, *arrays, axis=0: torch.concatenate([x for x in arrays if x is not None], axis),
    errors=[
        wrong((2, 3), (2, 4), None, says="arrays have shapes (2, 3) and (2, 4)"),
        wrong((2, 3), (3,), None, says="arrays have shapes (2, 3) and (3,)"),
        wrong((2, 3), (2, 3), None, axis=2, says="axis"),
        wrong((2, 3), (2, 3), None, axis=-3, says="axis"),
        wrong((2, 3), (2, 3), None, axis=None, raises=TypeError, says="axis is a NoneType"),
        wrong((), (), None, says="arrays must have at least one axis"),
        wrong(None, None, None, says="arrays is empty"),
    ],
)
# The arrays come as one argument: an error names that one, whichever entry is wrong.
TestConcatenate.test_wrong_type = None
TestConcatenate.test_too_many_axes = None


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize(
    "bad", [np.zeros(2, np.float16), np.zeros(2, complex), "ab", None, {}, np.zeros((1,) * 9)]
)
def test_concatenate_names_its_argument(where, bad):
    arrays = [np.zeros(2)] * 3
    arrays[where] = bad
    with pytest.raises((TypeError, ValueError), match=r"^concatenate: arrays"):
        at.functional.concatenate(arrays)


def test_concatenate_needs_a_sequence():
    with pytest.raises(TypeError, match="concatenate: arrays must be a list or tuple"):
        at.functional.concatenate(np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_ids_and_masks_are_moved_as_well(dtype):
    x = np.arange(12).reshape(3, 4).astype(dtype)
    assert_same_bits(at.functional.reshape(x, (4, 3)), x.reshape(4, 3))
    assert_same_bits(at.functional.transpose(x), np.ascontiguousarray(x.T))
    assert_same_bits(at.functional.slice(x, (slice(1, 3), 2)), x[1:3, 2])
    assert_same_bits(at.functional.concatenate([x, x]), np.concatenate([x, x]))


@given(array_shapes(min_dims=0, max_dims=4, max_side=4), st.data())
def test_any_slice_as_numpy(shape, data):
    key = data.draw(basic_indices(shape, min_dims=0, allow_newaxis=True))
    if any(isinstance(i, slice) and (i.step or 1) < 0 for i in (key if isinstance(key, tuple) else (key,))):
        with pytest.raises(ValueError, match="steps must be 1 or more"):
            at.functional.slice(np.zeros(shape), key)
        return
    x = np.random.default_rng(0).standard_normal(shape)
    assert_same_bits(at.functional.slice(x, key), np.array(x[key]))
    tensor = at.tensor(x, requires_grad=True)
    y = at.functional.slice(tensor, key)
    d_y = np.asarray(np.random.default_rng(1).standard_normal(y.shape))
    y.backward(d_y)
    expected = np.zeros(shape)
    expected[key] = d_y
    assert_same_bits(tensor.grad, expected)


@given(array_shapes(max_dims=5, max_side=4), st.data())
def test_any_permutation_and_back(shape, data):
    axes = data.draw(st.permutations(range(len(shape))))
    x = np.random.default_rng(0).standard_normal(shape)
    y = at.functional.transpose(x, axes)
    assert_same_bits(y, np.ascontiguousarray(x.transpose(axes)))
    assert_same_bits(at.functional.transpose(y, np.argsort(axes).tolist()), x)

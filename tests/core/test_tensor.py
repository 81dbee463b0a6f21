"""Tensor: NumPy's behaviour, and a gradient."""

import copy
import gc
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import attendo as at
from inputs import DTYPES, LAYOUTS
from tolerance import assert_close, assert_same_bits

A = np.arange(24.0).reshape(2, 3, 4)


# ---------------------------------------------------------------------------------------------------- making


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "tensor"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_from_every_layout(layout, dtype):
    x = A.astype(dtype)
    assert_same_bits(at.tensor(LAYOUTS[layout](x)), x)


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read_only", "array_like"])
def test_masks_of_every_layout(layout):
    assert_same_bits(at.tensor(LAYOUTS[layout](A > 7)), A > 7)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.uint32, np.uint64, ">i2"])
def test_integers_become_int64(dtype):
    assert_same_bits(at.tensor(A.astype(dtype)), A.astype(np.int64))


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_integers_that_do_not_fit_are_an_error(value):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        at.tensor(np.array([value], np.uint64))


def test_from_numbers_and_lists():
    assert at.tensor(3).dtype == np.int64 and at.tensor(3.5).dtype == np.float64
    assert at.tensor([[1, 2], [3, 4]]).dtype == np.int64
    assert at.tensor([1, 2.5]).dtype == np.float64 and at.tensor([True]).dtype == bool
    assert at.tensor([]).shape == (0,)
    assert at.tensor(np.float32(2)).dtype == np.float32 and at.tensor(np.float32(2)).shape == ()
    assert at.tensor([1, 2], dtype="float32").dtype == np.float32
    assert at.tensor(A, dtype=np.float32).dtype == np.float32


def test_a_tensor_is_a_copy():
    source = A.copy()
    x = at.tensor(source)
    source[...] = 0
    y = at.tensor(x)
    x.assign(np.zeros_like(A))
    assert_same_bits(y, A)


@pytest.mark.parametrize(
    ("data", "options", "error", "says"),
    [
        (None, {}, TypeError, "tensor: data is None"),
        ("text", {}, TypeError, "tensor: data has dtype"),
        (A.astype(np.float16), {}, TypeError, "tensor: data has dtype float16"),
        (A.astype(complex), {}, TypeError, "tensor: data has dtype complex128"),
        ([[1], [2, 3]], {}, TypeError, "tensor: data is a list"),
        (A, {"dtype": "int64"}, TypeError, "tensor: dtype is 'int64'"),
        (A, {"dtype": "float16"}, TypeError, "tensor: dtype is 'float16'"),
        (A, {"dtype": 3}, TypeError, "tensor: dtype is 3"),
        ([1, 2], {"requires_grad": True}, TypeError, "requires_grad: only float32 and float64"),
        (np.zeros((1,) * 9), {}, ValueError, "tensor: data has 9 axes"),
        (np.broadcast_to(0.0, (2**46,)), {}, MemoryError, ""),
    ],
)
def test_wrong_data(data, options, error, says):
    with pytest.raises(error, match=says or None):
        at.tensor(data, **options)


# ------------------------------------------------------------------------------------------------- properties


def test_attributes():
    x = at.tensor(A, requires_grad=True)
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3, 4), 3, 24, np.float64)
    assert len(x) == 2 and x.is_leaf and x.requires_grad and x.grad is None
    assert x.tolist() == A.tolist() and at.tensor(3.5).item() == 3.5 and at.tensor([2]).item() == 2
    assert isinstance(at.tensor([2]).item(), int)
    assert float(at.tensor([[2.5]])) == 2.5 and int(at.tensor(3)) == 3
    assert bool(at.tensor([1.0])) and not bool(at.tensor(0.0))
    assert [row.tolist() for row in x] == A.tolist()
    assert repr(at.tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert "requires_grad=True" in repr(x) and "multiply" in repr(x * x)
    for bad in (lambda: x.item(), lambda: float(x), lambda: bool(x), lambda: len(at.tensor(1.0))):
        with pytest.raises((TypeError, ValueError)):
            bad()
    with pytest.raises(TypeError):
        iter(at.tensor(1.0))
    assert len({x: 1, at.tensor(A): 2}) == 2


@given(array_shapes(min_dims=0, max_dims=4, max_side=4), st.data())
def test_indexing_as_numpy(shape, data):
    key = data.draw(basic_indices(shape, min_dims=0, allow_newaxis=True))
    items = key if isinstance(key, tuple) else (key,)
    a = np.random.default_rng(0).standard_normal(shape)
    x = at.tensor(a, requires_grad=True)
    if any(isinstance(item, slice) and (item.step or 1) < 1 for item in items):
        with pytest.raises(ValueError, match="steps must be 1 or more"):
            x[key]
        return
    if np.ndim(a[key]) > 8:
        return
    y = x[key]
    assert_same_bits(y, np.array(a[key]))
    y.backward(np.ones(y.shape))
    expected = np.zeros(shape)
    expected[key] = 1
    assert_same_bits(x.grad, expected)


def test_index_errors():
    x = at.tensor(A)
    for key, error in [
        (2, IndexError), (-3, IndexError), ((0, 3), IndexError), (2**70, (IndexError, ValueError)),
        ((0, 0, 0, 0), (IndexError, ValueError)), ((..., ...), (IndexError, ValueError)),
        (1.0, TypeError), ("a", TypeError), ([0], TypeError), (True, TypeError), (np.array([0]), TypeError),
    ]:  # fmt: skip
        with pytest.raises(error):
            x[key]
    with pytest.raises(TypeError):
        x[0] = 1.0


# -------------------------------------------------------------------------------------------------- operators


OPERANDS = {
    "tensor": lambda a: at.tensor(a[::-1]),
    "array": lambda a: a[::-1],
    "row": lambda a: a[0, 0],
    "int": lambda a: 3,
    "float": lambda a: 0.1,
    "numpy number": lambda a: a.dtype.type(0.7),
}


@pytest.mark.parametrize("operate", [operator.add, operator.sub, operator.mul, operator.truediv])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("other", OPERANDS)
def test_operators(other, dtype, operate):
    a = A.astype(dtype) + 1
    x, operand = at.tensor(a, requires_grad=True), OPERANDS[other](a)
    b = np.asarray(operand, dtype)
    for got, expected in [(operate(x, operand), operate(a, b)), (operate(operand, x), operate(b, a))]:
        assert isinstance(got, at.Tensor) and got.requires_grad
        assert_same_bits(got, expected)


def test_a_list_is_float64_and_dtypes_are_not_mixed():
    assert_same_bits(at.tensor([1.0, 2.0]) * [3.0, 4], np.array([3.0, 8.0]))
    assert_same_bits([3.0, 4] * at.tensor([1.0, 2.0]), np.array([3.0, 8.0]))
    with pytest.raises(TypeError, match="float64"):
        at.tensor(np.ones(2, np.float32)) * [3.0, 4.0]


def test_unary_operators_and_power():
    a = np.array([0.5, -2.0, 3.0])
    x = at.tensor(a, requires_grad=True)
    assert_same_bits(-x, -a)
    for exponent in (2, 3, 1, 0, -1):
        x.zero_grad()
        y = x**exponent
        assert_close(y, a ** float(exponent))
        y.backward(np.ones(3))
        assert_close(x.grad, exponent * a ** (exponent - 1.0))
    positive = at.tensor([0.5, 2.0], requires_grad=True)
    assert_close(positive**0.5, np.sqrt([0.5, 2.0]))


def test_matrix_product():
    a, b = A, np.swapaxes(A, 1, 2)
    assert_close(at.tensor(a) @ b, a @ b)
    assert_close(b @ at.tensor(a), b @ a)
    assert_close(at.tensor(a) @ at.tensor(b), a @ b)


def test_operators_that_make_no_sense():
    x = at.tensor(A)
    for other in ("a", None, {}, A.astype(np.float32), at.tensor([1]), A.astype(object), A[0, :2]):
        for operate in (operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul):
            with pytest.raises((TypeError, ValueError)):
                operate(x, other)
            with pytest.raises((TypeError, ValueError)):
                operate(other, x)
    for other in ("2", None, x):
        with pytest.raises(TypeError):
            x**other
    with pytest.raises(ValueError, match="matmul"):
        x @ 2


def test_methods_are_the_functions():
    a = A + 1
    x = at.tensor(a)
    for name in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu"):
        assert_same_bits(getattr(x, name)(), getattr(at.functional, name)(a))
    for name in ("sum", "mean", "max"):
        assert_same_bits(getattr(x, name)(), getattr(at.functional, name)(a))
        expected = getattr(at.functional, name)(a, (0, 2), True)
        assert_same_bits(getattr(x, name)(axis=(0, 2), keepdims=True), expected)
    assert_same_bits(x.reshape(6, 4), a.reshape(6, 4))
    assert_same_bits(x.reshape((4, -1)), a.reshape(4, 6))
    assert_same_bits(x.view(-1), a.reshape(-1))
    assert_same_bits(x.transpose(), np.ascontiguousarray(a.T))
    assert_same_bits(x.T, np.ascontiguousarray(a.T))
    assert_same_bits(x.transpose(1, 0, 2), np.ascontiguousarray(a.transpose(1, 0, 2)))
    assert_same_bits(x.transpose((1, 0, 2)), np.ascontiguousarray(a.transpose(1, 0, 2)))
    assert_same_bits(x.swapaxes(0, -1), np.ascontiguousarray(a.swapaxes(0, -1)))
    np.testing.assert_array_equal(x.argmax(), a.argmax(-1))
    with pytest.raises(ValueError, match=r"^swapaxes: "):
        x.swapaxes(0, 3)


# ------------------------------------------------------------------------------ NumPy, DLPack, pickle, copy


def test_as_an_array():
    x = at.tensor(A)
    view = np.asarray(x)
    assert np.shares_memory(view, x.numpy()) and not view.flags.writeable
    copied = np.array(x)
    assert copied.flags.writeable and not np.shares_memory(copied, view)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert_same_bits(np.asarray(x, dtype=np.float32), A.astype(np.float32))
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        assert np.shares_memory(np.asarray(x, copy=False), view)
        assert not np.shares_memory(np.asarray(x, copy=True), view)
        with pytest.raises(ValueError):
            np.asarray(x, dtype=np.float32, copy=False)
    assert_same_bits(np.add.reduce(np.asarray(x)), A.sum(0))


def test_an_array_outlives_its_tensor():
    x = at.tensor(A)
    view = x.numpy()
    del x
    gc.collect()
    for _ in range(10):
        at.tensor(np.full_like(A, 7.0))  # would reuse the memory if it had been given back
    assert_same_bits(view, A)


def test_ufuncs_leave_the_answer_to_the_tensor():
    x = at.tensor(A, requires_grad=True)
    assert isinstance(np.float64(2.0) * x, at.Tensor)
    assert isinstance(A + x, at.Tensor)
    assert isinstance(np.add(x, 1.0), at.Tensor)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_dlpack_both_ways(dtype):
    a = A.astype(dtype)
    x = at.tensor(a)
    shared = np.from_dlpack(x)
    assert_same_bits(shared, a)
    assert np.shares_memory(shared, x.numpy())
    del x
    gc.collect()
    assert_same_bits(shared, a)


def test_dlpack_with_torch(torch):
    x = at.tensor(A)
    assert_same_bits(torch.from_dlpack(x).numpy(), A)
    ids = torch.tensor([[0, 2], [1, 1]])
    assert_same_bits(at.functional.embedding(ids, A[0]), A[0][ids.numpy()])
    q = torch.tensor(A)
    assert_same_bits(at.attention(q, q, q), at.attention(A, A, A))


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(how, requires_grad):
    x = at.tensor(A, requires_grad=requires_grad)
    y = how(x)
    assert y.requires_grad == requires_grad and y.is_leaf
    assert_same_bits(y, A)
    y.assign(np.zeros_like(A))
    assert_same_bits(x, A)


def test_a_copy_of_a_computed_tensor_is_off_the_tape():
    y = at.tensor(A, requires_grad=True) * 2
    for z in (copy.deepcopy(y), pickle.loads(pickle.dumps(y)), y.clone(), y.detach()):
        assert not z.requires_grad and z.is_leaf
        assert_same_bits(z, A * 2)


def test_assign():
    x = at.tensor(A, requires_grad=True)
    x.assign(np.asfortranarray(A + 1).astype(np.float32))
    assert_same_bits(x, A + 1)
    for bad, error in [(A[:1], ValueError), (A[0, 0], ValueError), (None, TypeError), ("a", TypeError)]:
        with pytest.raises(error, match=r"^assign: values"):
            x.assign(bad)
    assert_same_bits(x, A + 1)
    x.assign(x)
    assert_same_bits(x, A + 1)


# ------------------------------------------------------------------------------------ NumPy's own functions


def test_numpy_functions_never_cut_the_tape_silently():
    x, plain = at.tensor(A, requires_grad=True), at.tensor(A)
    for f in (
        lambda t: np.concatenate([t, t]), lambda t: np.stack([t, A]), lambda t: np.dot(t, A[0].T), np.sum,
        lambda t: np.where(A > 0, t, 0.0), np.sin, lambda t: np.maximum(t, 0.0), np.mean,
        lambda t: np.add(t, 1.0, where=True),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"numpy\.\w+ does not know the tape.*attendo\.functional"):
            f(x)
        assert_same_bits(np.asarray(f(plain)), np.asarray(f(A)))


def test_ufuncs_with_an_operation_of_ours_go_on_the_tape():
    x = at.tensor(np.abs(A) + 1, requires_grad=True)
    for f in (
        np.exp,
        np.log,
        np.sqrt,
        np.tanh,
        lambda t: np.add(A, t),
        lambda t: np.multiply(t, A),
        lambda t: A - t,
    ):
        y = f(x)
        assert isinstance(y, at.Tensor) and y.requires_grad
        np.testing.assert_allclose(y.numpy(), f(x.numpy()), rtol=1e-14)


def test_comparisons_are_element_by_element():
    x = at.tensor(A, requires_grad=True)
    for other in (A, at.tensor(A[:1]), 0.0, np.float32(1)):
        plain = np.asarray(other)
        assert_same_bits(x == other, plain == A)
        assert_same_bits(x != other, plain != A)
        assert_same_bits(x < other, plain > A)
        assert_same_bits(x >= other, plain <= A)
    assert_same_bits(A == x, np.ones_like(A, dtype=bool))
    assert hash(x) != hash(at.tensor(A))


def test_the_two_meanings_of_transpose():
    x = at.tensor(np.ones((2, 3)))
    for axes in ((0, 1), (-2, -1), (0, -1)):
        with pytest.raises(
            ValueError, match=r"would leave the tensor as it is; to exchange the two say swapaxes"
        ):
            x.transpose(*axes)
    assert x.transpose(1, 0).shape == x.swapaxes(0, 1).shape == x.T.shape == (3, 2)
    with pytest.raises(ValueError, match=r"does not name all axes; to exchange the two say swapaxes\(1, 2\)"):
        at.tensor(np.ones((2, 3, 4))).transpose(1, 2)
    assert at.tensor(np.ones((2, 3, 4))).permute(0, 2, 1).shape == (2, 4, 3)

"""embedding: a row of the table for each id."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, SIZES, THREADS, case, ids, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def by_torch(torch, ids, weight, padding_idx=None, sparse=False):
    return torch.nn.functional.embedding(ids, weight, padding_idx)


def by_reference(ids, weight, padding_idx=None, sparse=False):
    return reference.embedding(ids, weight, padding_idx)


def backward(d_y, ids, weight, padding_idx=None, sparse=False):
    return reference.embedding_backward(d_y, ids, weight, padding_idx)


TestEmbedding = op_tests(
    "embedding",
    "ids weight",
    [
        case(ids(6, 3, 4), (6, 3)),
        case(np.array(3), (6, 3)),
        case(np.array([], dtype=np.int64), (6, 3)),
        case(np.zeros((2, 0, 3), np.int64), (0, 3)),
        # The gradient of the row of padding is zero by decree: it is not the derivative.
        case(ids(6, 3, 4), (6, 3), padding_idx=2).but_not("central_differences"),
        case(ids(1, 9), (1, 1), padding_idx=0).but_not("central_differences"),
        case(np.arange(5), (6, 3), padding_idx=5),
        case(ids(6, 3, 4), (6, 3), sparse=True),
        case(ids(6, 3, 4), (6, 3), padding_idx=2, sparse=True).but_not("central_differences"),
        case(np.array([], dtype=np.int64), (6, 3), sparse=True),
        case(np.zeros((2, 0, 3), np.int64), (0, 3), sparse=True),
        *(case(ids(9, n), (9, 5)) for n in SIZES),
        *(case(ids(9, 7), (9, n)) for n in SIZES),
    ],
    large=[
        case(ids(50, 64, 100), (50, 65), padding_idx=49),
        case(ids(30000, 5000), (30000, 9)),
        case(ids(9000, 5000), (9000, 64)),
    ],
    torch=by_torch,
    reference_function=by_reference,
    backward=backward,
    errors=[
        wrong(np.array([0, 6]), (6, 3), says="ids holds 6 but must hold 0 to 5"),
        wrong(np.array([0, -1]), (6, 3), says="ids holds -1 but must hold 0 to 5"),
        wrong(np.array([2**63 - 1]), (6, 3), says="ids holds 9223372036854775807"),
        wrong(np.array([2**64 - 1], np.uint64), (6, 3), says="ids holds"),
        wrong(np.array([0]), (0, 3), says="ids holds 0"),
        wrong(np.array([0.0]), (6, 3), raises=TypeError, says="ids has dtype float64 but must be int64"),
        wrong(np.array([True]), (6, 3), raises=TypeError, says="ids has dtype bool"),
        wrong(np.array(["a"]), (6, 3), raises=TypeError, says="ids has dtype"),
        wrong(None, (6, 3), raises=TypeError, says="ids is None"),
        wrong(np.array([0]), (3,), says="weight has shape (3,) but must have 2 axes"),
        wrong(np.array([0]), (6, 3), padding_idx=6, says="padding_idx is 6 but must be 0 to 5"),
        wrong(np.array([0]), (6, 3), padding_idx=-1, says="padding_idx is -1"),
        wrong(np.array([0]), (6, 3), padding_idx=1.5, raises=TypeError, says="padding_idx is a float"),
    ],
    huge=lambda: (np.zeros(2**22, np.int64), np.zeros((1, 2**25), np.float32), {}),
)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.uint64, ">i8"]
)
def test_ids_of_any_integer_dtype(dtype):
    weight = np.arange(12.0).reshape(4, 3)
    assert_same_bits(at.functional.embedding(np.array([3, 0, 1]).astype(dtype), weight), weight[[3, 0, 1]])


def test_ids_as_list_and_strided():
    weight = np.arange(12.0).reshape(4, 3)
    assert_same_bits(at.functional.embedding([[3, 0], [1, 1]], weight), weight[[[3, 0], [1, 1]]])
    assert_same_bits(at.functional.embedding(np.arange(4)[::-2], weight), weight[[3, 1]])


def test_an_id_that_occurs_often_gets_the_sum():
    weight = at.tensor(np.zeros((3, 2)), requires_grad=True)
    at.functional.embedding(np.array([1, 1, 0, 1]), weight).backward(np.ones((4, 2)))
    assert_close(weight.grad, np.array([[1.0, 1], [3, 3], [0, 0]]))


# ---------------------------------------------------------------------------------------------- row gradients


def table(v, d, dtype=np.float64):
    return at.tensor(np.random.default_rng(1).standard_normal((v, d)).astype(dtype), requires_grad=True)


def pull(weight, ids, sparse, **options):
    """Backward through a lookup, with some gradient that depends on the position alone."""
    y = at.functional.embedding(ids, weight, sparse=sparse, **options)
    y.backward(np.random.default_rng(2).standard_normal(y.shape).astype(y.dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("padding_idx", [None, 3])
@pytest.mark.parametrize("v", [5, 70_000, 5_000_000])
def test_rows_of_a_sparse_gradient(dtype, padding_idx, v):
    ids = np.random.default_rng(0).integers(0, min(v, 3000), (7, 300)) * max(1, v // 3000)
    ids[0, :5] = 3
    weight = at.tensor(np.zeros((v, 2), dtype), requires_grad=True)
    pull(weight, ids, True, padding_idx=padding_idx)
    row_ids, rows = weight.row_grad
    assert row_ids.dtype == np.int64 and rows.dtype == dtype
    assert_same_bits(row_ids, np.setdiff1d(ids, [] if padding_idx is None else [padding_idx]))
    dense = at.tensor(np.zeros((v, 2), dtype), requires_grad=True)
    pull(dense, ids, False, padding_idx=padding_idx)
    assert dense.row_grad is None
    assert_same_bits(dense.grad.numpy()[row_ids], rows)
    assert_same_bits(dense.grad, weight.grad)


@pytest.mark.parametrize("order", [(True, True), (True, False), (False, True), (False, False)], ids=str)
def test_gradients_of_both_kinds_add_up(order):
    ids, weight = [np.array([4, 1, 4]), np.array([0, 4, 2, 2])], table(6, 3)
    for each, sparse in zip(ids, order, strict=True):
        pull(weight, each, sparse)
    assert (weight.row_grad is not None) == all(order)
    expected = np.zeros((6, 3))
    for each in ids:
        alone = table(6, 3)
        pull(alone, each, False)
        expected += alone.grad.numpy()
    assert_close(weight.grad, expected)
    weight.zero_grad()
    assert weight.grad is None and weight.row_grad is None


def test_a_dense_use_of_a_sparse_table():
    weight = table(4, 3)
    loss = at.functional.embedding([1, 1], weight, sparse=True).sum() + (weight * 2.0).sum()
    loss.backward()
    assert weight.row_grad is None
    assert_close(weight.grad, np.array([2.0, 4.0, 2.0, 2.0])[:, None] * np.ones((4, 3)))


def test_sparse_gradients_of_what_was_computed_are_whole():
    weight = table(4, 3)
    at.functional.embedding([1, 3], weight * 2.0, sparse=True).sum().backward()
    assert weight.row_grad is None
    assert_close(weight.grad, np.array([0.0, 2.0, 0.0, 2.0])[:, None] * np.ones((4, 3)))


def test_a_gradient_that_was_set_replaces_the_rows():
    weight = table(4, 3)
    pull(weight, np.array([1]), True)
    weight.grad = np.ones((4, 3))
    assert weight.row_grad is None
    assert_same_bits(weight.grad, np.ones((4, 3)))
    pull(weight, np.array([1]), True)
    weight.grad = None
    assert weight.row_grad is None and weight.grad is None


def test_rows_are_copies():
    weight = table(4, 3)
    pull(weight, np.array([1, 2]), True)
    before = weight.grad.numpy().copy()
    row_ids, rows = weight.row_grad
    row_ids[:] = 0
    rows.assign(np.zeros((2, 3)))
    assert_same_bits(weight.grad, before)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_same_bits_on_any_number_of_threads_with_many_duplicates(sparse, second):
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.3, 20_000), 9_000) - 1
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        weight = table(9_000, 33, np.float32)
        pull(weight, ids, sparse)
        if second:
            pull(weight, ids[::-3], sparse)
        results.append(weight.grad.numpy())
    for other in results[1:]:
        assert_same_bits(other, results[0])


def test_torch_sparse(torch):
    ids = np.random.default_rng(0).integers(0, 50, (40, 3))
    weight = table(50, 7)
    theirs = torch.tensor(weight.numpy(), requires_grad=True)
    d_y = np.random.default_rng(3).standard_normal((40, 3, 7))
    at.functional.embedding(ids, weight, sparse=True, padding_idx=4).backward(d_y)
    y = torch.nn.functional.embedding(torch.tensor(ids), theirs, 4, sparse=True)
    y.backward(torch.tensor(d_y))
    row_ids, rows = weight.row_grad
    whole = theirs.grad.coalesce()
    expected = whole.to_dense().numpy()
    assert_close(weight.grad, expected)
    assert set(row_ids) <= set(whole.indices()[0].tolist())
    assert_close(rows, expected[row_ids])

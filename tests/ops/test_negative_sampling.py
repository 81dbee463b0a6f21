"""negative_sampling: the loss of word vectors, and the gradients of both tables."""

import numpy as np
import pytest

import attendo as at
from inputs import DTYPES, SIZES, THREADS, case, ids, normal, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def by_torch(torch, words, targets, negatives, input_vectors, output_vectors, sparse=False):
    words = words[:, None] if words.ndim == 1 else words
    there = (words >= 0).to(input_vectors.dtype)
    share = there / there.sum(1, keepdim=True).clamp(min=1)
    h = (share[..., None] * input_vectors[words.clamp(min=0)]).sum(1)
    f = torch.nn.functional.logsigmoid
    true = f((h * output_vectors[targets]).sum(-1))
    return -true - f(-(h[:, None] * output_vectors[negatives]).sum(-1)).sum(1)


def windows(high, *shape):
    """Ids, some of them -1; the first row has no word at all."""

    def make(rng):
        out = rng.integers(-1, high, shape)
        out[:1] = -1
        return out

    return make


NONE = np.zeros((0,), np.int64)
C = np.array

TestNegativeSampling = op_tests(
    "negative_sampling",
    "words targets negatives input_vectors output_vectors",
    [
        case(ids(6, 7), ids(6, 7), ids(6, 7, 3), (6, 5), (6, 5)),
        case(ids(6, 7), ids(6, 7), ids(6, 7, 3), (6, 5), (6, 5), sparse=True),
        case(windows(6, 7, 4), ids(6, 7), ids(6, 7, 3), (6, 5), (6, 5)),
        case(windows(6, 7, 4), ids(9, 7), ids(9, 7, 1), (6, 17), (9, 17), sparse=True),
        case(windows(6, 7, 1), ids(2, 7), ids(2, 7, 0), (6, 5), (2, 5)),
        case(NONE, NONE, np.zeros((0, 2), np.int64), (6, 5), (6, 5)),
        case(NONE, NONE, np.zeros((0, 2), np.int64), (6, 5), (6, 5), sparse=True),
        # Saturated: one side's gradient vanishes, and the loss is the product itself.
        case(ids(6, 7), ids(6, 7), ids(6, 7, 3), normal(6, 5, scale=9.0), normal(6, 5, scale=9.0)).but_not(
            "central_differences"
        ),
        *(case(ids(9, n), ids(9, n), ids(9, n, 2), (9, 5), (9, 5)) for n in SIZES),
        *(case(ids(9, 7), ids(9, 7), ids(9, 7, 2), (9, n), (9, n)) for n in SIZES),
    ],
    large=[
        case(ids(500, 3000), ids(500, 3000), ids(500, 3000, 5), (500, 65), (500, 65)),
        case(windows(500, 3000, 4), ids(9, 3000), ids(9, 3000, 5), (500, 64), (9, 64), sparse=True),
    ],
    torch=by_torch,
    errors=[
        wrong(C([6]), C([0]), C([[0]]), (6, 3), (6, 3), says="words holds 6 but must hold -1 to 5"),
        wrong(C([-2]), C([0]), C([[0]]), (6, 3), (6, 3), says="words holds -2"),
        wrong(C([0]), C([4]), C([[0]]), (6, 3), (4, 3), says="targets holds 4 but must hold 0 to 3"),
        wrong(C([0]), C([-1]), C([[0]]), (6, 3), (4, 3), says="targets holds -1"),
        wrong(C([0]), C([0]), C([[4]]), (6, 3), (4, 3), says="negatives holds 4"),
        wrong(C([0]), C([0, 1]), C([[0]]), (6, 3), (6, 3), says="targets has shape (2,)"),
        wrong(C([0]), C([0]), C([0]), (6, 3), (6, 3), says="negatives has shape (1,) but must have 2 axes"),
        wrong(C([0]), C([0]), C([[0], [1]]), (6, 3), (6, 3), says="negatives has 2 rows but words has 1"),
        wrong(C(0), C([0]), C([[0]]), (6, 3), (6, 3), says="words has shape () but must have 1 or 2 axes"),
        wrong(C([0]), C([0]), C([[0]]), (6, 3), (6, 4), says="output_vectors has 4 features"),
        wrong(C([0]), C([0]), C([[0]]), (6,), (6, 3), says="input_vectors has shape (6,)"),
        wrong(C([0]), C([0]), C([[0]]), (6, 3), (3,), says="output_vectors has shape (3,)"),
        wrong(C([0.0]), C([0]), C([[0]]), (6, 3), (6, 3), raises=TypeError, says="words has dtype float64"),
        wrong(C([0]), None, C([[0]]), (6, 3), (6, 3), raises=TypeError, says="targets is None"),
    ],
)


def arrays(dtype, v=20, b=30):
    rng = np.random.default_rng(0)
    tables = [rng.standard_normal((v, 6)).astype(dtype) for _ in range(2)]
    return rng.integers(-1, v, (b, 3)), rng.integers(0, v, b), rng.integers(0, v, (b, 4)), *tables


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_row_gradients_are_the_dense_ones(dtype):
    *words, w, u = arrays(dtype, v=100)
    results = []
    for sparse in (False, True):
        tables = [at.tensor(x, requires_grad=True) for x in (w, u)]
        at.functional.negative_sampling(*words, *tables, sparse=sparse).sum().backward()
        results.append(tables)
    for dense, sparse, used in zip(*results, (words[0], np.append(*words[1:])), strict=True):
        assert dense.row_grad is None
        row_ids, rows = sparse.row_grad
        assert_same_bits(row_ids, np.unique(used[used >= 0]))
        assert_same_bits(dense.grad.numpy()[row_ids], rows)
        assert_same_bits(dense.grad, sparse.grad)


def test_one_table_on_both_sides():
    *words, w, _ = arrays(np.float64)
    results = []
    for sparse in (False, True):
        table = at.tensor(w, requires_grad=True)
        at.functional.negative_sampling(*words, table, table, sparse=sparse).sum().backward()
        results.append(table.grad.numpy())
    two = [at.tensor(w, requires_grad=True) for _ in range(2)]
    at.functional.negative_sampling(*words, *two).sum().backward()
    for got in results:
        assert_close(got, two[0].grad.numpy() + two[1].grad.numpy())


def test_small_losses_keep_their_digits():
    table = np.array([[40.0]]), np.array([[1.0]])
    loss = at.functional.negative_sampling([0], [0], np.zeros((1, 0), int), *table)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-40.0)), rtol=1e-14)


def test_row_gradients_have_the_same_bits_on_any_number_of_threads():
    *words, w, u = arrays(np.float32, v=1000, b=5000)
    results = []
    for threads in THREADS:
        at.set_num_threads(threads)
        tables = [at.tensor(x, requires_grad=True) for x in (w, u)]
        at.functional.negative_sampling(*words, *tables, sparse=True).sum().backward()
        results.append([part for table in tables for part in table.row_grad])
    for other in results[1:]:
        for got, expected in zip(other, results[0], strict=True):
            assert_same_bits(got, expected)

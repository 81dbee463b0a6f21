"""embedding: a row of the table for each id."""

import numpy as np
import pytest

import attendo as at
from inputs import SIZES, case, ids, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def by_torch(torch, ids, weight, padding_idx=None):
    return torch.nn.functional.embedding(ids, weight, padding_idx)


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
        *(case(ids(9, n), (9, 5)) for n in SIZES),
        *(case(ids(9, 7), (9, n)) for n in SIZES),
    ],
    large=[case(ids(50, 64, 100), (50, 65), padding_idx=49), case(ids(30000, 5000), (30000, 9))],
    torch=by_torch,
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

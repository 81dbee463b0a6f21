"""relative_bias and relative_shift: values by the distance of a key from its query."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

TestRelativeBias = op_tests(
    "relative_bias",
    "table",
    [
        case((2, 3, 7), length=5),
        case((7,), length=4, keys=6, q_offset=2),
        case((3, 1), length=4),
        case((2, 3), length=9),
        case((2, 8), length=5, zero=7),
        case((2, 8), length=5, keys=3, q_offset=0, zero=0),
        case((2, 5), length=3, keys=3, q_offset=100),
        case((2, 5), length=3, keys=3, q_offset=-100),
        case((2, 5), length=0),
        case((2, 5), length=3, keys=0, q_offset=0),
        case((0, 5), length=3),
    ],
    large=[case((8, 301), length=300), case((3, 65), length=700, keys=130, q_offset=5)],
    huge=lambda: (np.zeros((4, 3)), {"length": 2**40}),
    errors=[
        wrong((2, 4), length=3, says="table has 4 entries a row, which have no middle; give zero"),
        wrong((2, 5), length=3, zero=5, says="zero is 5 but must be 0 to 4"),
        wrong((2, 5), length=3, zero=-1, says="zero is -1"),
        wrong((2, 5), length=-1, says="length is -1"),
        wrong((2, 5), length=3, keys=-2, q_offset=0, says="keys is -2"),
        wrong((2, 5), length=3, keys=4, says="3 queries and 4 keys need q_offset="),
        wrong((2, 5), length=3, q_offset=2**60, says="q_offset is"),
        wrong((2, 0), length=3, zero=0, says="zero is 0"),
        wrong((), length=3, says="table has shape ()"),
        wrong((2, 5), length=3.0, raises=TypeError, says="length is a float"),
    ],
)

TestRelativeShift = op_tests(
    "relative_shift",
    "x",
    [
        case((2, 3, 4, 7)),
        case((4, 7), keys=6, q_offset=2),
        case((3, 4, 1)),
        case((9, 3)),
        case((2, 5, 8), zero=7),
        case((2, 5, 8), keys=3, q_offset=0, zero=0),
        case((2, 3, 5), q_offset=100),
        case((2, 3, 5), q_offset=-100),
        case((2, 0, 5)),
        case((2, 3, 5), keys=0, q_offset=0),
    ],
    large=[case((8, 300, 301)), case((3, 700, 65), keys=130, q_offset=5)],
    huge=lambda: (np.zeros((4, 3)), {"keys": 2**46, "q_offset": 0}),
    errors=[
        wrong((3, 4), says="x has 4 entries a row, which have no middle; give zero"),
        wrong((3, 5), zero=5, says="zero is 5 but must be 0 to 4"),
        wrong((3, 5), keys=4, says="3 queries and 4 keys need q_offset="),
        wrong((3, 5), keys=-1, q_offset=0, says="keys is -1"),
        wrong((5,), says="x has shape (5,)"),
    ],
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_entry_is_that_of_its_distance(dtype):
    table = np.arange(-3, 4, dtype=dtype)
    bias = at.functional.relative_bias(table, 6, 8, q_offset=2)
    for i in range(6):
        for j in range(8):
            assert bias[i, j] == np.clip(j - (i + 2), -3, 3)


def test_a_shift_of_equal_rows_is_the_bias():
    table = np.random.default_rng(0).standard_normal((3, 9))
    rows = np.broadcast_to(table[:, None, :], (3, 5, 9))
    assert_same_bits(at.functional.relative_shift(rows), at.functional.relative_bias(table, 5))


def test_as_the_shift_of_transformer_xl():
    """Dai et al. 2019, appendix B: pad with a column, reshape, drop the first row."""
    length, memory = 4, 3
    keys = memory + length
    x = np.random.default_rng(0).standard_normal((length, keys))  # distances keys - 1 … 0
    padded = np.concatenate([np.zeros((length, 1)), x], axis=1)
    theirs = padded.reshape(keys + 1, length)[1:].reshape(length, keys)
    ours = at.functional.relative_shift(x, keys, q_offset=memory, zero=keys - 1)
    allowed = np.tril(np.ones((length, keys), bool), memory)
    assert_same_bits(np.where(allowed, ours, 0), np.where(allowed, theirs, 0))


def test_the_sums_along_diagonals_are_exact_to_float32():
    """20,000 equal terms: a running sum in float32 would be off by hundreds of rounding errors."""
    table = at.tensor(np.zeros(3, np.float32), requires_grad=True)
    y = at.functional.relative_bias(table, 200)
    y.backward(np.full((200, 200), 0.1, np.float32))
    exact = np.float64(np.float32(0.1)) * np.array([199 * 100, 200, 199 * 100])
    np.testing.assert_allclose(table.grad.numpy(), exact, rtol=2e-7)


def test_attention_trains_a_table():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 3, 5, 4)) for _ in range(3))
    table = at.tensor(rng.standard_normal((3, 7)), requires_grad=True)
    out = at.attention(q, k, v, bias=at.functional.relative_bias(table, 5))
    d_out = rng.standard_normal(out.shape)
    out.backward(d_out)
    bias = reference.relative_bias(table.numpy(), 5)
    d_bias = reference.scaled_dot_product_backward(d_out, q, k, v, bias=bias)[3]
    assert_close(table.grad, reference.relative_bias_backward(d_bias, table.numpy(), 5)[0])

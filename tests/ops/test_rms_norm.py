"""rms_norm over the last axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from inputs import SIZES, case, positive, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

TestRmsNorm = op_tests(
    "rms_norm",
    "x weight",
    [
        case((3, 2, 7), positive(7)),
        case((2, 3, 5), None, eps=1e-3),
        case((5,), positive(5)),
        case((3, 1), positive(1), eps=0.1),
        case((0, 3), positive(3)),
        *(case((n, 6), positive(6)) for n in SIZES),
        *(case((5, n), positive(n), eps=0.01) for n in SIZES if n),
    ],
    large=[case((700, 300), positive(300)), case((30000, 7), positive(7))],
    torch=lambda torch, x, weight, eps=1e-6: torch.nn.functional.rms_norm(x, x.shape[-1:], weight, eps),
    errors=[
        wrong((), None, says="x has shape ()"),
        wrong((2, 3), (2,), says="weight has shape (2,) but must have shape (3,)"),
        wrong((2, 3), (1, 3), says="weight has shape (1, 3)"),
        wrong((2, 3), None, eps=-1e-5, says="eps is -1e-05"),
        wrong((2, 3), None, eps=np.nan, says="eps is nan"),
        wrong((2, 3), None, eps="small", raises=TypeError, says="eps is a str"),
        wrong(None, None, raises=TypeError, says="x is None"),
    ],
)


@given(st.integers(1, 5), st.integers(1, 70), st.floats(1e-3, 1e3), st.integers(0, 2**32))
def test_rows_have_mean_square_one_whatever_their_length(rows, n, length, seed):
    x = np.random.default_rng(seed).standard_normal((rows, n))
    y = at.functional.rms_norm(length * x, eps=0.0)
    assert_close((y**2).mean(-1), np.ones(rows))
    assert_close(y, at.functional.rms_norm(x, eps=0.0))


def test_a_row_of_zeros_stays_one():
    x = at.tensor(np.zeros((2, 9)), requires_grad=True)
    y = at.functional.rms_norm(x)
    np.testing.assert_array_equal(y.numpy(), np.zeros((2, 9)))
    y.backward(np.ones((2, 9)))
    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 9), 1e3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_alone_gives_what_it_gives_among_others(dtype):
    """Decoding calls it for one row at a time: the same bits as for all of them."""
    draw = np.random.default_rng(0).standard_normal
    x, weight = draw((9, 37)).astype(dtype), draw(37).astype(dtype)
    together = at.functional.rms_norm(x, weight)
    for row, expected in zip(x, together, strict=True):
        assert_same_bits(at.functional.rms_norm(row, weight), expected)

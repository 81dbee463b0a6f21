"""layer_norm over the last axis."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from inputs import SIZES, case, positive, wrong
from op_check import op_tests
from tolerance import assert_close

TestLayerNorm = op_tests(
    "layer_norm",
    "x weight bias",
    [
        case((3, 2, 7), positive(7), (7,)),
        case((2, 3, 5), None, None, eps=1e-3),
        case((5,), positive(5), None),
        case((4, 5), None, (5,)),
        case((3, 1), positive(1), (1,), eps=0.1),
        case((0, 3), positive(3), (3,)),
        *(case((n, 6), positive(6), (6,)) for n in SIZES),
        *(case((5, n), positive(n), (n,), eps=0.01) for n in SIZES if n),
    ],
    large=[case((700, 300), positive(300), (300,)), case((30000, 7), positive(7), (7,))],
    torch=lambda torch, x, weight, bias, eps=1e-5: torch.nn.functional.layer_norm(
        x, x.shape[-1:], weight, bias, eps
    ),
    errors=[
        wrong((), None, None, says="x has shape ()"),
        wrong((2, 3), (2,), None, says="weight has shape (2,) but must have shape (3,)"),
        wrong((2, 3), (1, 3), None, says="weight has shape (1, 3)"),
        wrong((2, 3), (3,), (4,), says="bias has shape (4,) but must have shape (3,)"),
        wrong((2, 3), None, None, eps=-1e-5, says="eps is -1e-05"),
        wrong((2, 3), None, None, eps=np.nan, says="eps is nan"),
        wrong((2, 3), None, None, eps="small", raises=TypeError, says="eps is a str"),
        wrong(None, None, None, raises=TypeError, says="x is None"),
    ],
)


@given(
    st.integers(1, 5), st.integers(2, 70), st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.integers(0, 2**32)
)
def test_rows_have_mean_zero_and_variance_one(rows, n, mean, deviation, seed):
    x = mean + deviation * np.random.default_rng(seed).standard_normal((rows, n))
    y = at.functional.layer_norm(x, eps=0.0)
    scale = 1 + np.abs(x).max() / x.std(-1).min()  # what subtracting the mean costs
    assert_close(y.mean(-1), np.zeros(rows), scale=scale)
    assert_close(y.var(-1), np.ones(rows), scale=scale)


def test_a_constant_row_gives_the_bias():
    y = at.functional.layer_norm(np.full((2, 9), 1e4), np.full(9, 3.0), np.arange(9.0))
    np.testing.assert_array_equal(y, np.tile(np.arange(9.0), (2, 1)))


def test_a_large_mean_does_not_swallow_the_variance():
    """Two passes: the variance as E[x²] - E[x]² would be all rounding here."""
    x = np.array([[10000, 10001, 10002, 10003]], np.float32)
    expected = (np.arange(4) - 1.5) / np.sqrt(1.25 + 1e-5)
    assert_close(at.functional.layer_norm(x), expected[None])

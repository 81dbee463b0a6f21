"""ALiBi: slopes, the bias they make, and what it does to attention."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits

TestAlibi = op_tests(
    "alibi",
    "slopes",
    [
        case((3,), length=5),
        case((3,), length=5, keys=7, q_offset=2),
        case((2,), length=2, keys=6, q_offset=-3),
        case((1,), length=1),
        case((0,), length=3),
        case((2,), length=0),
        case((2,), length=3, keys=0, q_offset=0),
    ],
    large=[case((6,), length=300, keys=257, q_offset=4)],
    huge=lambda: (np.zeros(3), {"length": 2**40}),
    errors=[
        wrong((2, 3), length=5, says="slopes has shape (2, 3)"),
        wrong((2,), length=-1, says="length is -1"),
        wrong((2,), length=1, keys=-1, q_offset=0, says="keys is -1"),
        wrong((2,), length=3, keys=5, says="3 queries and 5 keys need q_offset="),
        wrong((2,), length=3, q_offset=-(2**60), says="q_offset is"),
        wrong((2,), length="3", raises=TypeError, says="length is a str"),
    ],
)


def by_the_authors(n):
    """get_slopes of the authors' code, written out."""
    if n & (n - 1) == 0:
        start = 2 ** (-(2 ** -(np.log2(n) - 3)))
        return [start * start**i for i in range(n)]
    closest = 2 ** int(np.floor(np.log2(n)))
    return by_the_authors(closest) + by_the_authors(2 * closest)[0::2][: n - closest]


@pytest.mark.parametrize("num_heads", [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 25, 40, 112])
def test_slopes(num_heads):
    slopes = at.functional.alibi_slopes(num_heads, dtype="float64")
    np.testing.assert_allclose(slopes, by_the_authors(num_heads), rtol=1e-13)
    np.testing.assert_allclose(slopes, reference.alibi_slopes(num_heads), rtol=1e-13)


def test_slopes_of_eight_heads():
    assert_same_bits(at.functional.alibi_slopes(8), np.float32(0.5) ** np.arange(1, 9, dtype=np.float32))


@pytest.mark.parametrize("num_heads", [0, -1, 2**40])
def test_no_slopes_of_that_many_heads(num_heads):
    with pytest.raises(ValueError, match=f"^alibi_slopes: num_heads is {num_heads}"):
        at.functional.alibi_slopes(num_heads)
    with pytest.raises(TypeError, match=r"^alibi_slopes: dtype is"):
        at.functional.alibi_slopes(4, dtype="int64")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_causal_attention_it_is_a_slope_times_the_position_of_the_key(dtype):
    """BLOOM's form: m j differs from -m (i - j) by a constant a row."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 6, 9, 8)).astype(dtype) for _ in range(3))
    slopes = at.functional.alibi_slopes(6, dtype=dtype)
    out = at.attention(q, k, v, mask=at.masks.causal(), bias=at.functional.alibi(slopes, 9))
    bloom = slopes[:, None, None] * np.arange(9, dtype=dtype)
    assert_close(out, at.attention(q, k, v, mask=at.masks.causal(), bias=bloom))


def test_decoding_step_by_step():
    """A query at its own offset sees what it sees among all queries."""
    slopes = at.functional.alibi_slopes(4)
    whole = at.functional.alibi(slopes, 7)
    for i in range(7):
        assert_same_bits(at.functional.alibi(slopes, 1, 7, q_offset=i), whole[:, i : i + 1])


def test_distances_are_exact_far_away():
    bias = at.functional.alibi(np.array([1.0], np.float32), 1, 3, q_offset=10_000_000)
    assert_same_bits(bias, np.array([[[-1e7, -9999999, -9999998]]], np.float32))

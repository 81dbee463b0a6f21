"""dropout, inverted. The mask comes from the generator; where y is 0 it dropped."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import SIZES, between, case, wrong
from op_check import op_tests
from tolerance import assert_close, assert_same_bits


def dropout(x, p, seed=1):
    generator = at.Generator(seed) if isinstance(seed, int) else seed
    return at.functional.dropout(x, p, generator=generator)


def mask_of(x, p, seed=1):
    """What the same seed keeps: position decides, not the values."""
    return dropout(np.ones(x.shape), p, seed) != 0


TestDropout = op_tests(
    "dropout",
    "x",
    [
        case(between(1, 2, 4, 3), p=0.4),
        case((4, 3), p=0.0),
        case((4, 3), p=1.0),
        case((), p=0.5),
        *(case((n,), p=0.5) for n in SIZES),
    ],
    large=[case((3, 100000), p=0.3)],
    function=dropout,
    reference_function=lambda x, p: reference.dropout(x, mask_of(x, p), p),
    backward=lambda d_y, x, p: reference.dropout_backward(d_y, x, mask_of(x, p), p),
    errors=[
        wrong((4, 3), p=-0.1, says="p is -0.1 but must be 0 to 1"),
        wrong((4, 3), p=1.1, says="p is 1.1 but must be 0 to 1"),
        wrong((4, 3), p=np.nan, says="p is nan"),
        wrong((4, 3), p="half", raises=TypeError, says="p is a str"),
        wrong((4, 3), p=None, raises=TypeError, says="p is a NoneType"),
        wrong((4, 3), p=0.5, seed=None, raises=TypeError, says="generator is None"),
        wrong(
            (4, 3), p=0.5, seed=np.random.default_rng(0), raises=TypeError, says="generator is a Generator"
        ),
        wrong(None, p=0.5, raises=TypeError, says="x is None"),
    ],
)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_share_and_mean(p):
    n = 400_000
    y = dropout(np.ones(n), p)
    four_deviations = 4 * np.sqrt(p * (1 - p) / n)
    assert abs((y == 0).mean() - p) < four_deviations
    assert abs(y.mean() - 1) < four_deviations / (1 - p)
    np.testing.assert_array_equal(y[y != 0], 1 / (1 - p))


def test_neighbours_rows_and_draws_are_independent():
    generator = at.Generator(5)
    first, second = (mask_of(np.empty((600, 500)), 0.5, generator) - 0.5 for _ in range(2))
    for a, b in [
        (first, second),
        (first[:, 1:], first[:, :-1]),
        (first[1:], first[:-1]),
        (first[:, 4:], first[:, :-4]),
        (first, mask_of(np.empty((600, 500)), 0.5, 6) - 0.5),
    ]:
        assert abs((a * b).mean() / 0.25) < 4 / np.sqrt(a.size)


def test_the_generator_decides():
    x = np.ones(1000)
    assert_same_bits(dropout(x, 0.5, 3), dropout(x, 0.5, 3))
    assert (dropout(x, 0.5, 3) != dropout(x, 0.5, 4)).any()
    generator = at.Generator(3)
    first = dropout(x, 0.5, generator)
    assert_same_bits(first, dropout(x, 0.5, 3))
    assert (dropout(x, 0.5, generator) != first).any()
    assert generator.drawn == 2


def test_both_dtypes_drop_the_same():
    np.testing.assert_array_equal(mask_of(np.empty(333), 0.3), dropout(np.ones(333, np.float32), 0.3) != 0)


def test_a_nan_that_is_dropped_is_gone():
    x = np.full(100, np.nan)
    y = dropout(x, 0.5)
    np.testing.assert_array_equal(np.isnan(y), mask_of(x, 0.5))


def test_the_gradient_passes_through_the_same_mask():
    x = at.tensor(np.full(100, 2.0), requires_grad=True)
    y = dropout(x, 0.25)
    y.backward(np.ones(100))
    assert_close(x.grad, y.numpy() / 2)


def kept(seed, n, p):
    """What a seed has always kept: an integer hash of stream and position, 65536 positions a row."""

    def mix(x):
        x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
        x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
        return x ^ (x >> 16)

    stream = seed + 0x9E3779B97F4A7C15 & (1 << 64) - 1
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        stream = (stream ^ (stream >> shift)) * factor & (1 << 64) - 1
    stream ^= stream >> 31
    keep = []
    for i in range(n):
        key = mix(mix(i // 65536 ^ stream & 0xFFFFFFFF) + (stream >> 32) & 0xFFFFFFFF)
        keep.append(mix((i % 65536 * 0x9E3779B9 & 0xFFFFFFFF) ^ key) >= int(p * 2**32))
    return np.array(keep)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_seed_keeps_its_meaning(dtype):
    """Across instruction sets and versions; past the end of a row of bits, and not in whole vectors."""
    n = 65536 + 1237
    y = dropout(np.ones(n, dtype), 0.3, 11)
    np.testing.assert_array_equal(y != 0, kept(11, n, 0.3))

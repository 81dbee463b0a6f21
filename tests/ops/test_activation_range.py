"""activation_range: scale and zero point for eight bits, from numbers seen before."""

import numpy as np
import pytest

import attendo as at
from attendo import reference
from inputs import DTYPES

activation_range = at.functional.activation_range
METHODS = ("minmax", "percentile", "entropy")


def numbers(kind, dtype=np.float64):
    rng = np.random.default_rng(3)
    return {
        "normal": lambda: rng.standard_normal(4000),
        "heavy": lambda: rng.standard_t(3, (40, 100)),
        "relu": lambda: np.maximum(rng.standard_normal(3000), 0),
        "shifted": lambda: rng.standard_normal(3000) + 20,
        "negative": lambda: -np.abs(rng.standard_normal((5, 7, 9))),
        "outlier": lambda: np.append(rng.standard_normal(20000), 500),
        "one": lambda: np.array([3.0]),
        "zeros": lambda: np.zeros((3, 4)),
    }[kind]().astype(dtype)


KINDS = ("normal", "heavy", "relu", "shifted", "negative", "outlier", "one", "zeros")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_is_the_reference(kind, method, dtype):
    x = numbers(kind, dtype)
    for percentile in (99.99, 90.0, 5.0, 100.0) if method == "percentile" else (99.99,):
        scale, zero = activation_range(x, method, percentile)
        expected, expected_zero = reference.activation_range(x, method, percentile)
        assert scale == pytest.approx(expected, rel=1e-12) and zero == expected_zero
        assert scale > 0 and 0 <= zero <= 255 and isinstance(zero, int)
        assert dtype != np.float32 or np.float32(scale) == scale


@pytest.mark.parametrize("kind", KINDS)
def test_minmax_cuts_nothing_off_and_holds_zero_exactly(kind):
    x = numbers(kind)
    scale, zero = activation_range(x)
    q = np.rint(x / scale) + zero
    assert q.min() >= -1e-9 and q.max() <= 255
    assert np.abs((q - zero) * scale - x).max() <= scale / 2 + 1e-12


def test_percentile_leaves_that_many():
    x = np.random.default_rng(0).standard_normal(100_000)
    for percentile in (50, 90, 99, 99.9):
        scale, zero = activation_range(x, "percentile", percentile)
        inside = np.mean((x >= -zero * scale) & (x <= (255 - zero) * scale))
        assert abs(inside - percentile / 100) < 0.01


def test_an_outlier_costs_the_others_their_steps_but_not_with_percentiles():
    """20,000 numbers about 1 and one of 500: what the others lose, root mean square."""
    x = numbers("outlier")

    def error(method):
        scale, zero = activation_range(x, method, 99.9)
        rounded = (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale
        return np.sqrt(np.mean((rounded - x)[:-1] ** 2))

    assert error("minmax") > 0.3
    assert error("percentile") < 0.1 * error("minmax")


def test_entropy_keeps_what_a_distribution_needs():
    """Of normal numbers nothing need go but the ends; of heavy tails most of the range."""
    rng = np.random.default_rng(0)

    def kept(x):
        return activation_range(x, "entropy")[0] / activation_range(x)[0]

    assert 0.9 < kept(rng.standard_normal(400_000)) <= 1
    assert kept(rng.standard_t(3, 400_000)) < 0.6
    assert kept(np.append(rng.standard_normal(400_000), 50.0)) < 0.3


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((np.zeros(0),), ValueError, r"x has shape \(0,\) but must hold a number"),
        (([1.0, np.nan],), ValueError, "x holds NaN"),
        (([1.0, np.inf],), ValueError, "x holds NaN, inf"),
        (([1.7e308, -1.7e308],), ValueError, "infinitely far apart"),
        (([1.0], "best"), ValueError, "method is 'best' but must be 'minmax', 'percentile' or 'entropy'"),
        (([1.0], "percentile", 0.0), ValueError, "percentile is 0 but must be more than 0"),
        (([1.0], "percentile", 101.0), ValueError, "percentile is 101"),
        (([1.0], "percentile", float("nan")), ValueError, "percentile is nan"),
        ((None,), TypeError, "x is None"),
        ((np.array([True]),), TypeError, "x has dtype bool"),
    ],
)
def test_errors(arguments, error, says):
    with pytest.raises(error, match=rf"^activation_range: .*{says}"):
        activation_range(*arguments)


def test_the_inputs_stay_as_they_were():
    x = numbers("normal")
    before = x.copy()
    for method in METHODS:
        activation_range(x, method)
    np.testing.assert_array_equal(x, before)

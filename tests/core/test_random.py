"""Generator: counter-based random numbers."""

import numpy as np
import pytest

import attendo as at
from inputs import THREADS
from tolerance import assert_same_bits


def draw(generator, n=1000):
    return at.functional.dropout(np.ones(n), 0.5, generator=generator)


def test_the_same_seed_gives_the_same_bits():
    for seed in (0, 1, 2**32, 2**63 - 1):
        assert_same_bits(draw(at.Generator(seed)), draw(at.Generator(seed)))


def test_every_seed_gives_its_own():
    seeds = [*range(20), 2**32, 2**32 + 1, 2**63 - 1]
    assert len({draw(at.Generator(seed)).tobytes() for seed in seeds}) == len(seeds)


def test_draws_follow_each_other():
    generator = at.Generator(7)
    first = [draw(generator) for _ in range(5)]
    assert generator.seed == 7 and generator.drawn == 5
    assert len({x.tobytes() for x in first}) == 5
    again = at.Generator(7)
    for x in first:
        assert_same_bits(draw(again), x)


def test_position_decides_not_length():
    assert_same_bits(draw(at.Generator(3), 1000), draw(at.Generator(3), 777_777)[:1000].copy())


@pytest.mark.parametrize("threads", THREADS)
def test_threads_do_not_matter(threads):
    at.set_num_threads(1)
    expected = draw(at.Generator(1), 300_000)
    at.set_num_threads(threads)
    assert_same_bits(draw(at.Generator(1), 300_000), expected)


def test_without_a_seed_the_system_decides():
    assert at.Generator().seed != at.Generator().seed
    assert (draw(at.Generator()) != draw(at.Generator())).any()


def test_fair_bits():
    """Runs, neighbours and blocks of four as often as they should be."""
    bits = (draw(at.Generator(12), 2**18) > 0).astype(int)
    n = len(bits)
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(n)
    counts = np.bincount(bits.reshape(-1, 4) @ [1, 2, 4, 8], minlength=16)
    expected = n / 4 / 16
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi², 15 degrees of freedom: p about 1e-4
    for lag in (1, 2, 3, 4, 8, 16, 64, 1024):
        assert abs(np.corrcoef(bits[lag:], bits[:-lag])[0, 1]) < 4.5 / np.sqrt(n)


def test_repr():
    generator = at.Generator(3)
    draw(generator)
    assert repr(generator) == "Generator(seed=3, drawn=1)"


@pytest.mark.parametrize(
    ("seed", "error", "says"),
    [
        (-1, ValueError, "Generator: seed is -1 but must be 0 or more"),
        (2**70, ValueError, "Generator: seed is"),
        (0.5, TypeError, "Generator: seed is a float but must be an integer"),
        ("3", TypeError, "Generator: seed is a str"),
    ],
)
def test_wrong_seeds(seed, error, says):
    with pytest.raises(error, match=says):
        at.Generator(seed)

"""The same bits on 1, 2 and 4 threads, for all that the package must be fast at."""

import numpy as np
import pytest

import attendo as at
from inputs import THREADS
from tolerance import assert_same_bits
from workloads import ALL, ATTENTION


def check(workload):
    at.set_num_threads(THREADS[0])
    expected = workload()
    assert expected and all(np.isfinite(value).all() for value in expected.values())
    assert any(value.any() for value in expected.values())
    for threads in THREADS[1:]:
        at.set_num_threads(threads)
        got = workload()
        assert set(got) == set(expected)
        for name, value in expected.items():
            assert_same_bits(got[name], value, f"{name}, {threads} threads")


@pytest.mark.parametrize("name", ALL)
def test_small(name):
    check(ALL[name].cut_down())


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_full(name):
    check(ALL[name])


@pytest.mark.parametrize("name", ATTENTION)
def test_forward_alone(name):
    """Off the tape nothing is kept for backward: the output must not depend on that either."""
    workload = ATTENTION[name].cut_down()
    expected = workload()
    for threads in THREADS:
        at.set_num_threads(threads)
        for key, value in workload(backward=False).items():
            assert_same_bits(value, expected[key], f"{key}, {threads} threads")

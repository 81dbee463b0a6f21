"""The pool: memory is kept for reuse, and given back when asked."""

import gc

import numpy as np
import pytest

import attendo as at


def test_statistics():
    gc.collect()  # what other tests left behind must not go in between
    at.release_cached_memory()
    before = at.memory_stats()
    assert set(before) == {"live_bytes", "cached_bytes", "system_calls"} and before["cached_bytes"] == 0
    x = at.tensor(np.zeros(10**6))
    during = at.memory_stats()
    assert 8e6 <= during["live_bytes"] - before["live_bytes"] < 10.5e6
    del x
    after = at.memory_stats()
    assert after["live_bytes"] == before["live_bytes"] and after["cached_bytes"] >= 8e6
    at.release_cached_memory()
    assert at.memory_stats()["cached_bytes"] == 0


def test_what_was_given_back_is_used_again():
    def step():
        return at.functional.add(np.ones(12345), 1.0)

    step()
    calls = at.memory_stats()["system_calls"]
    for _ in range(5):
        step()
    assert at.memory_stats()["system_calls"] == calls


def test_results_are_aligned_for_vectors():
    for n in (1, 3, 100, 10_000):
        assert at.functional.exp(np.zeros(n)).ctypes.data % 64 == 0


def test_memory_that_does_not_exist_is_an_error_and_no_harm():
    gc.collect()
    before = at.memory_stats()["live_bytes"]
    column, row = np.zeros((2**23, 1), np.float32), np.zeros((1, 2**23), np.float32)
    for _ in range(3):
        with pytest.raises(MemoryError):
            at.functional.add(column, row)
    assert at.memory_stats()["live_bytes"] == before
    assert at.functional.add(np.ones(2), np.ones(2)).tolist() == [2, 2]

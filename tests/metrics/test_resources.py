"""Resources: memory that was there is seen, measurements may overlap, an error passes through."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

import attendo as at

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the mark of the most memory can be lowered on Linux"
)
MIB = 2**20


@linux
def test_memory_that_is_gone_at_the_end_was_there():
    with at.metrics.resources() as used:
        block = np.ones(64 * MIB, np.uint8)
        del block
    assert 60 * MIB <= used.peak_growth <= 80 * MIB
    with at.metrics.resources() as after:
        pass
    assert after.peak_growth < 8 * MIB


@linux
def test_measurements_within_measurements():
    with at.metrics.resources() as outer:
        block = np.ones(64 * MIB, np.uint8)
        del block
        with at.metrics.resources() as inner:
            block = np.ones(16 * MIB, np.uint8)
            del block
    assert inner.peak_growth <= 32 * MIB
    assert outer.peak_growth >= 60 * MIB


def test_tensors_that_stay_are_counted():
    with at.metrics.resources() as used:
        kept = at.tensor(np.zeros(MIB, "float32"))
    assert 4 * MIB <= used.tensor_bytes <= 5 * MIB
    assert used.pool_bytes >= used.tensor_bytes and kept.size == MIB


def test_time_of_the_wall_and_of_the_processor(monkeypatch):
    wall, cpu = iter([10.0, 12.5]), iter([3.0, 3.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(time, "process_time", lambda: next(cpu))
    with at.metrics.resources() as used:
        pass
    assert (used.seconds, used.cpu_seconds) == (2.5, 0.25)
    assert repr(used).startswith("Resources(2.5 s, 0.25 s of CPU")


def test_rates():
    result, used = at.metrics.measure(lambda a, b: a + b, 1, b=2)
    assert result == 3 and used.throughput is None and used.flops_per_second is None
    used.items, used.flops, used.seconds = 100, 4e9, 2.0
    assert used.throughput == 50 and used.flops_per_second == 2e9
    assert "50 items/s, 2 GFLOP/s" in repr(used)


def test_operations_are_counted():
    a, b = np.ones((20, 30)), np.ones((30, 40))
    product, used = at.metrics.measure(at.functional.matmul, a, b)
    assert product.shape == (20, 40) and used.flops == 2 * 20 * 30 * 40
    assert used.flops_per_second == used.flops / used.seconds


def test_an_error_passes_through_and_is_measured():
    with pytest.raises(KeyError), at.metrics.resources() as used:
        raise KeyError
    assert used.seconds >= 0

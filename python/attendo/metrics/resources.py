"""What a piece of work costs: wall-clock time, processor time, memory, throughput."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from .. import _core
from .._summary import count_flops

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Resources:
    """What was used; filled when the block ends. Prints as a line."""

    seconds: float = float("nan")  #: wall-clock time
    cpu_seconds: float = float("nan")  #: of all threads of the process together
    peak_bytes: int | None = None  #: the most memory the process had; None where the system cannot tell
    peak_growth: int | None = None  #: that, less what it had at the start
    tensor_bytes: int = 0  #: what Tensors and results hold at the end, less at the start
    pool_bytes: int = 0  #: the most attendo has held since `release_cached_memory` was last called
    items: float | None = None  #: samples, tokens, …: whatever was counted
    flops: float | None = None  #: floating-point operations

    @property
    def throughput(self) -> float | None:
        """Items a second."""
        return None if self.items is None else self.items / self.seconds

    @property
    def flops_per_second(self) -> float | None:
        """Floating-point operations a second."""
        return None if self.flops is None else self.flops / self.seconds

    def __repr__(self) -> str:
        said = [f"{self.seconds:.4g} s", f"{self.cpu_seconds:.4g} s of CPU"]
        if self.peak_bytes is not None and self.peak_growth is not None:
            said.append(f"peak {self.peak_bytes / 2**20:.1f} MiB ({self.peak_growth / 2**20:+.1f})")
        said.append(f"tensors {self.tensor_bytes / 2**20:+.1f} MiB")
        if self.throughput is not None:
            said.append(f"{self.throughput:.4g} items/s")
        if self.flops_per_second is not None:
            said.append(f"{self.flops_per_second / 1e9:.4g} GFLOP/s")
        return f"Resources({', '.join(said)})"


class _Peak:
    """The system's mark of the most memory. There is one for the process; measurements may overlap."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: dict[int, int] = {}  # the highest mark seen by each measurement
        self.next = 0

    def _seen(self, mark: int) -> None:
        for key, before in self.running.items():
            self.running[key] = max(before, mark)

    def begin(self) -> tuple[int, int | None]:
        """A key, and how much memory the process has now."""
        with self.lock:
            mark, now = _marks()
            self._seen(mark or 0)
            _lower_mark()
            key = self.next
            self.next += 1
            self.running[key] = now or 0
            return key, now

    def end(self, key: int) -> int | None:
        """The most memory since the key was given."""
        with self.lock:
            mark, _ = _marks()
            self._seen(mark or 0)
            most = self.running.pop(key)
            return None if mark is None else most


def _marks() -> tuple[int | None, int | None]:
    """The most memory since the mark was lowered, and that of now, in bytes."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file if line.startswith(("VmHWM", "VmRSS")))
        return int(lines["VmHWM"].split()[0]) * 1024, int(lines["VmRSS"].split()[0]) * 1024
    except (OSError, KeyError):
        pass
    try:
        import resource
    except ImportError:
        return None, None
    # The mark of the whole life of the process: it cannot be lowered here.
    mark = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return mark, mark


def _lower_mark() -> None:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # the mark is then that of the process's life: an upper bound


_peak = _Peak()


@contextmanager
def resources(*, items: float | None = None, flops: float | None = None) -> Iterator[Resources]:
    """Measure a block: time, processor time, memory, throughput.

    Parameters
    ----------
    items : float, optional
        How many samples or tokens the block works on, for ``throughput``. May be set on the result as well.
    flops : float, optional
        How many floating-point operations it makes (:func:`attendo.summary` knows of a model), for
        ``flops_per_second``.

    Returns
    -------
    context manager of Resources
        Filled when the block ends, also by an error.

    Notes
    -----
    ``peak_bytes`` is the resident memory of the whole process at its highest during the block: on Linux,
    where the mark can be lowered at the start. Where it cannot (macOS) it is the highest of the process's
    life.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> model = at.nn.Linear(64, 64, seed=0)
    >>> with at.metrics.resources(items=512) as used:
    ...     y = model(np.ones((512, 64), dtype="float32"))
    >>> used.seconds > 0, used.throughput == 512 / used.seconds, used.tensor_bytes >= y.size * 4
    (True, True, True)

    Source: python/attendo/metrics/resources.py
    """
    out = Resources(items=items, flops=flops)
    key, before = _peak.begin()
    live = _core.memory_stats()["live_bytes"]
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        yield out
    finally:
        out.seconds = time.perf_counter() - wall
        out.cpu_seconds = time.process_time() - cpu
        stats = _core.memory_stats()
        out.tensor_bytes = stats["live_bytes"] - live
        out.pool_bytes = stats["live_bytes"] + stats["cached_bytes"]
        out.peak_bytes = _peak.end(key)
        if out.peak_bytes is not None and before is not None:
            out.peak_growth = out.peak_bytes - before


def measure(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[R, Resources]:
    """Call a function and measure it.

    Parameters
    ----------
    call : callable
    *args, **kwargs
        What it is called with.

    Returns
    -------
    result
        What it gives.
    used : Resources
        With the ``flops`` that :func:`attendo.count_flops` counts, where there are any. Set
        ``used.items`` for the throughput.

    Examples
    --------
    >>> import attendo as at
    >>> total, used = at.metrics.measure(sum, range(1000))
    >>> total, used.cpu_seconds >= 0
    (499500, True)

    Source: python/attendo/metrics/resources.py
    """
    results: list[R] = []

    def once() -> None:
        results.append(call(*args, **kwargs))

    with resources() as used:
        flops = count_flops(once)
    used.flops = float(flops) if flops else None
    return results[0], used

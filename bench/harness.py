"""What a workload is, and how two sides of one are timed against each other.

A pair is one measurement of ours and one of the peer, right after each other, each long enough for the clock
and with a pause before it, so that the workers of one library have gone to sleep before the other is timed.
The order changes from pair to pair. What counts is the ratio within a pair: a machine that slows down slows
down both.
"""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Results = Mapping[str, NDArray[Any]]

SLOW = 0.3  # seconds
PAUSE = 0.01  # seconds: idle workers of OpenMP spin for a while and would slow the other library down


# Sides whose results are further apart than this share of the largest value compute different things.
TOLERANCE = 0.01


class Missing(Exception):
    """A workload asks for something this build of attendo does not have yet."""


@dataclass(frozen=True)
class Side:
    """One library's half of a workload, ready to run."""

    run: Callable[[int], object]  #: does the work n times
    result: Callable[[], Results]  #: what it computes, from a fresh start: outputs, gradients, losses
    note: str = ""  #: which of several ways was the fastest
    bits: Callable[[], Results] | None = None  #: what must not depend on threads, if more than the result


@dataclass(frozen=True)
class Case:
    """A workload with its data. Each side imports its own library when it is called, and not before."""

    ours: Callable[[], Side]
    peer: Callable[[], Side]
    flops: float | None = None  #: of one run, as the textbook counts; None where memory is what limits
    reference: Callable[[], Results] | None = None  #: in float64; may cover the leading part of an array only
    peer_flops: float | None = None  #: where the peer's work differs: then the ratio is one of FLOP/s
    needed_bytes: int | None = None  #: inputs, outputs and gradients
    tolerance: float = TOLERANCE  #: of results that are rounded on purpose


@dataclass(frozen=True)
class Workload:
    name: str
    target: float | None  #: the ratio that is wanted
    build: Callable[[int], Case]  #: the case of a seed
    peer: str = "PyTorch"
    memory: bool = True  #: whether fresh processes measure the memory of both sides
    quick_memory: bool = False  #: also with --quick
    quick_check: bool = True  #: whether --quick compares with the reference
    pause: float = PAUSE  #: seconds before each measurement
    memory_limit: float | None = None  #: times needed_bytes
    family: str = ""


@dataclass
class Effort:
    """How long to measure."""

    seconds: float = 6.0  #: about so long a workload
    least_pairs: int = 7
    most_pairs: int = 25
    least: float = 0.02  #: seconds a measurement lasts at least
    most_seconds: float | None = None  #: even if that leaves fewer pairs than the least


FULL = Effort()
QUICK = Effort(seconds=0.2, least_pairs=3, most_pairs=3, least=0.01, most_seconds=0.7)


@dataclass
class Timing:
    """Seconds of one run of either side, one entry a pair."""

    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def ratios(self, scale: float = 1.0) -> NDArray[np.float64]:
        return np.asarray(self.peer, np.float64) / np.asarray(self.ours, np.float64) * np.float64(scale)

    def summary(self, scale: float = 1.0) -> dict[str, Any]:
        ratios = self.ratios(scale)
        quartiles = np.percentile(ratios, [25, 75])
        return {
            "ours_s": float(np.median(self.ours)),
            "peer_s": float(np.median(self.peer)),
            "ratio": float(np.median(ratios)),
            "spread": [float(quartiles[0]), float(quartiles[1])],  # half of all pairs lie between
            "pairs": len(self.ours),
        }


def seconds_of(run: Callable[[int], object], n: int) -> float:
    """Seconds of one of n runs."""
    start = time.perf_counter()
    run(n)
    return (time.perf_counter() - start) / n


def repeats(run: Callable[[int], object], least: float) -> tuple[int, float]:
    """How many runs last `least` seconds, and how long one takes; warms up on the way."""
    n, once = 1, seconds_of(run, 1)
    while once * n < least:
        n = max(n + 1, min(n * 10, math.ceil(1.2 * least / max(once, 1e-9))))
        once = seconds_of(run, n)
    return n, once


def measure(
    ours: Callable[[int], object], peer: Callable[[int], object], effort: Effort, pause: float = PAUSE
) -> Timing:
    """Interleaved pairs, until the time is used up."""
    counts, once = [], []
    for run in (ours, peer):
        time.sleep(pause)
        n, seconds = 1, seconds_of(run, 1)
        if seconds < SLOW:  # then the first run is warm-up enough
            n, seconds = repeats(run, effort.least)
        counts.append(n)
        once.append(n * seconds)
    pair_s = sum(once) + 2 * pause
    if effort.most_seconds is not None and pair_s > 2 * effort.most_seconds:
        return Timing([once[0]], [once[1]])  # so long that the first run need not be thrown away
    pairs = max(effort.least_pairs, min(effort.most_pairs, int(effort.seconds / pair_s)))
    if effort.most_seconds is not None:
        pairs = max(1, min(pairs, int(effort.most_seconds / pair_s)))
    timing = Timing()
    for pair in range(pairs):
        sides = [(ours, counts[0], timing.ours), (peer, counts[1], timing.peer)]
        for run, n, seconds_list in sides if pair % 2 == 0 else reversed(sides):
            time.sleep(pause)
            seconds_list.append(seconds_of(run, n))
    return timing


def fastest(ways: Mapping[str, Callable[[int], object]]) -> str:
    """The name of the fastest of several ways to do the same: what a peer is compared with is its best."""
    known = os.environ.get("BENCH_WAY")  # a fresh process that measures memory does not look for it again
    if known is not None:
        return known if known in ways else next(iter(ways))
    quick = "BENCH_QUICK" in os.environ
    best, best_seconds = "", math.inf
    for name, run in ways.items():
        try:
            once = seconds_of(run, 1)
        except (RuntimeError, NotImplementedError):
            continue  # not offered on this machine
        if quick and once > 0.1:
            return name  # the first is the best as a rule
        n = max(1, math.ceil(0.005 / once))
        seconds = min(seconds_of(run, n) for _ in range(2 if quick or once > 0.5 else 5))
        if seconds < best_seconds:
            best, best_seconds = name, seconds
    return best


def repeated(once: Callable[[], object]) -> Callable[[int], object]:
    """What does something n times."""

    def run(n: int) -> None:
        for _ in range(n):
            once()

    return run


def largest_difference(result: Results, reference: Results) -> float:
    """The largest difference from the reference, which may cover the leading part of an array only."""
    worst = 0.0
    for name, wanted in reference.items():
        found = np.asarray(result[name], dtype=np.float64)[tuple(slice(0, n) for n in wanted.shape)]
        if found.shape != wanted.shape:
            raise ValueError(f"{name} has shape {result[name].shape} but the reference {wanted.shape}")
        difference = float(np.max(np.abs(found - wanted), initial=0.0))
        worst = difference if math.isnan(difference) else max(worst, difference)
        if math.isnan(worst):
            return worst
    return worst


def checked_difference(result: Results, reference: Results, tolerance: float = TOLERANCE) -> float:
    """The same; ValueError when it is more than rounding, for then the sides do different work."""
    difference = largest_difference(result, reference)
    largest = max(float(np.max(np.abs(x), initial=1.0)) for x in reference.values())
    if not difference <= tolerance * largest:
        raise ValueError(f"a result is {difference:.3g} from the reference: not the same work")
    return difference


def same_bits(side: Side, threads: tuple[int, ...] = (1, 2, 4)) -> bool:
    """Whether the side, which is ours, computes the same bits with each number of threads."""
    import attendo as at

    before = at.get_num_threads()
    compute = side.bits or side.result
    try:
        found = []
        for count in threads:
            at.set_num_threads(count)
            found.append({name: np.asarray(value).tobytes() for name, value in compute().items()})
    finally:
        at.set_num_threads(before)
    return all(bits == found[0] for bits in found[1:])


def draw(name: str, shape: tuple[int, ...], seed: int, dtype: str = "float32") -> NDArray[Any]:
    """The weight of that name: the same for both sides, without one having to ask the other."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = rng.standard_normal(shape)
    if len(shape) < 2:
        gain = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        return (gain + 0.05 * noise).astype(np.float32).astype(dtype)
    fan_in = math.prod(shape[1:])
    return (noise / math.sqrt(fan_in)).astype(np.float32).astype(dtype)


def peak_gflops() -> float:
    """What the machine can do now: fused multiply-adds on registers, float32, on the threads in use."""
    from attendo import _core

    return _core._fma_gflops()


def record(workload: Workload, case: Case, effort: Effort, *, check: bool = True) -> dict[str, Any]:
    """Times a case and compares both sides with the reference: everything but the memory."""
    ours, peer = case.ours(), case.peer()
    errors: list[float | None] = [None, None]
    if check and case.reference is not None:
        reference = case.reference()
        sides = [ours] if workload.peer == "attendo" else [ours, peer]
        for i, side in enumerate(sides):
            errors[i] = checked_difference(side.result(), reference, case.tolerance)
    scale = 1.0
    if case.peer_flops is not None and case.flops is not None:
        scale = case.flops / case.peer_flops
    before = peak_gflops()
    timing = measure(ours.run, peer.run, effort, workload.pause)
    peak = max(before, peak_gflops())
    found: dict[str, Any] = {"name": workload.name, **timing.summary(scale)}
    gflops = case.flops / found["ours_s"] / 1e9 if case.flops is not None else None
    found |= {
        "gflops": gflops,
        "fraction_of_peak": gflops / peak if gflops is not None else None,
        "ours_peak_mb": None,
        "peer_peak_mb": None,
        "max_abs_error": errors[0],
        "peer_max_abs_error": errors[1],
        "target": workload.target,
        "pass": None if workload.target is None else found["ratio"] >= workload.target,
        "family": workload.family,
        "peer": workload.peer,
        "peer_way": peer.note,
        "peak_gflops": peak,
    }
    return found

"""Masks that know their structure beside attention without one, attendo against itself.

The ratio is one of throughput, FLOP/s over the allowed pairs by FLOP/s without a mask: 1 means that a mask
costs what it leaves, and nothing on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.harness import Case, Results, Side, Workload
from bench.workloads import attention
from bench.workloads.attention import Arrays, Shape

# What a pattern of tiles may lose at its edges.
TARGET = 0.6

WINDOW = 256  # keys before a query
DOCUMENT = 512
GLOBAL = 16
PREFIX = 1024


@dataclass(frozen=True)
class Pattern:
    shape: Shape
    kind: str  # "window", "longformer", "prefix", "documents" or none

    def mask(self) -> Any:
        import attendo as at

        length = self.shape.length
        return {
            "window": lambda: at.masks.window(WINDOW, 0),
            "longformer": lambda: at.masks.longformer(WINDOW, np.arange(GLOBAL)),
            "prefix": lambda: at.masks.causal() | at.masks.prefix(PREFIX),
            "documents": lambda: at.masks.documents(np.arange(length) // DOCUMENT) & at.masks.causal(),
        }.get(self.kind, lambda: None)()

    def allowed(self) -> int:
        """Pairs of a head, by the formula."""
        n = self.shape.length
        i = np.arange(n)
        if self.kind == "window":
            keys = np.minimum(i, WINDOW) + 1
        elif self.kind == "longformer":
            first, last = np.maximum(i - WINDOW, 0), np.minimum(i + WINDOW, n - 1)
            keys = np.where(i < GLOBAL, n, last - first + 1 + np.minimum(first, GLOBAL))
        elif self.kind == "prefix":
            keys = np.maximum(i + 1, min(PREFIX, n))
        elif self.kind == "documents":
            keys = i % DOCUMENT + 1
        else:
            keys = np.full(n, n)
        return int(keys.sum())

    def flops(self, backward: bool) -> float:
        pairs = self.shape.batch * self.shape.heads * self.allowed()
        return 2.0 * (7 if backward else 2) * pairs * self.shape.features


def side(pattern: Pattern, arrays: Arrays, backward: bool) -> Side:
    import attendo as at

    q, k, v, d_out = (at.tensor(arrays[name]) for name in ("q", "k", "v", "d_out"))
    mask = pattern.mask()
    if backward:
        for x in (q, k, v):
            x.requires_grad = True

    def once() -> Any:
        if not backward:
            with at.no_grad():
                return at.attention(q, k, v, mask=mask)
        for x in (q, k, v):
            x.zero_grad()
        out = at.attention(q, k, v, mask=mask)
        out.backward(d_out)
        return out

    def run(n: int) -> None:
        for _ in range(n):
            once()

    def result() -> Results:
        out: Any = once()
        return {"out": out.numpy()}

    return Side(run, result)


def beside(odd: Pattern, even: Pattern, backward: bool, seed: int) -> Case:
    return Case(
        ours=lambda: side(odd, odd.shape.arrays(seed), backward),
        peer=lambda: side(even, even.shape.arrays(seed), backward),
        flops=odd.flops(backward),
        peer_flops=even.flops(backward),
    )


def workloads() -> list[Workload]:
    def shape(length: int) -> Shape:
        return attention.Shape(1, 8, length, 64)

    window = Pattern(shape(8192), "window")
    pairs = [
        ("window of 256 at S = 8192 beside S = 4096", window, Pattern(shape(4096), "window"), 0.8),
        ("window of 256 at S = 8192 beside none at 2048", window, Pattern(shape(2048), ""), TARGET),
    ]
    for name, kind in (
        ("window of 256 and 16 global tokens", "longformer"),
        ("causal and a prefix of 1024", "prefix"),
        ("causal documents of 512", "documents"),
    ):
        found = (Pattern(shape(4096), kind), Pattern(shape(2048), ""))
        pairs.append((f"{name} at S = 4096 beside none at 2048", *found, TARGET))
    return [
        Workload(
            f"{name}, {'forward + backward' if backward else 'forward'}",
            target,
            lambda seed, odd=odd, even=even, back=backward: beside(odd, even, back, seed),  # type: ignore[misc]
            peer="attendo",
            memory=False,
            quick_check=False,
        )
        for name, odd, even, target in pairs
        for backward in (False, True)
    ]

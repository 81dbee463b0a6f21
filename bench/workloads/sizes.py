"""Arbitrary sizes, heads and masks beside their round neighbours, attendo against itself.

The ratio is one of throughput, FLOP/s of the odd size by FLOP/s of the round one: 1 is no loss.
"""

from __future__ import annotations

from dataclasses import replace

from bench.harness import Case, Workload
from bench.workloads import attention, operations, training
from bench.workloads.attention import Shape

TARGET = 0.8

ROUND = Shape(2, 8, 1024, 64)


def beside(odd: Case, even: Case) -> Case:
    return replace(odd, peer=even.ours, peer_flops=even.flops)


def pair(name: str, odd: Shape, even: Shape) -> list[Workload]:
    return [
        Workload(
            f"{name}, {'forward + backward' if backward else 'forward'}",
            TARGET,
            lambda seed, back=backward: beside(  # type: ignore[misc]
                attention.case(odd, back, seed), attention.case(even, back, seed)
            ),
            peer="attendo",
            memory=False,
            quick_check=False,
        )
        for backward in (False, True)
    ]


def workloads() -> list[Workload]:
    causal = replace(ROUND, causal=True)
    found = [
        *pair("S = 1000 beside 1024", replace(ROUND, length=1000), ROUND),
        *pair("S = 1000 causal beside 1024", replace(causal, length=1000), causal),
        *pair("S = 129 beside 128", Shape(8, 8, 129, 64), Shape(8, 8, 128, 64)),
        *pair("D = 72 beside 64", replace(ROUND, features=72), ROUND),
        *pair("D = 72 beside 80", replace(ROUND, features=72), replace(ROUND, features=80)),
        *pair("D = 50 beside 64", replace(ROUND, features=50), ROUND),
        *pair("7 heads beside 8", Shape(1, 7, 1024, 64), Shape(1, 8, 1024, 64)),
        *pair("6 query and 3 key heads beside 8 and 4", Shape(2, 6, 1024, 64, 3), Shape(2, 8, 1024, 64, 4)),
        *pair("boolean mask at random beside none", replace(ROUND, mask="half"), ROUND),
        *pair("boolean mask beside causal()", replace(ROUND, mask="causal"), causal),
        *pair("lengths beside none", replace(ROUND, padded=True), ROUND),
    ]

    def steps(seed: int) -> Case:
        odd = training.decoder_lm(seed, 120, 5, 2, 60, 30, 997)
        return beside(odd, training.decoder_lm(seed, 128, 4, 2, 64, 32, 1000))

    def gemm(seed: int) -> Case:
        return beside(operations.gemm(seed, 1000, 999, 1001), operations.gemm(seed, 1024, 1024, 1024))

    def small_gemm(seed: int) -> Case:
        return beside(operations.gemm(seed, 250, 253, 259), operations.gemm(seed, 256, 256, 256))

    options = {"peer": "attendo", "memory": False}
    found += [
        Workload("decoder LM, d 120, 5 heads, s 60 beside d 128, 4 heads, s 64", TARGET, steps, **options),  # type: ignore[arg-type]
        Workload("GEMM 1000×999×1001 beside 1024³", TARGET, gemm, **options),  # type: ignore[arg-type]
        Workload("GEMM 250×253×259 beside 256³", TARGET, small_gemm, **options),  # type: ignore[arg-type]
    ]
    return found

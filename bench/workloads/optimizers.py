"""Steps of optimizers over 20 million float32 parameters in 40 tensors; nothing but the step is timed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Results, Side, Workload, draw, fastest

Array = NDArray[Any]

TENSORS, SHAPE, CHECKED_STEPS = 40, (500, 1000), 3
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 1e-3, "momentum": 0.9},
    "AdamW": {"lr": 1e-3},
    "Adagrad": {"lr": 1e-3},
    "RMSprop": {"lr": 1e-3},
}
WAYS = ("fused", "foreach")  # PyTorch's; the fastest that there is counts


def numbers(what: str, seed: int, shape: tuple[int, int]) -> list[Array]:
    return [draw(f"{what}.{i}", shape, seed) for i in range(TENSORS)]


def ours_side(name: str, seed: int) -> Side:
    import attendo as at

    def optimizer(shape: tuple[int, int]) -> tuple[Any, list[Any]]:
        parameters = [at.nn.Parameter(x) for x in numbers("w", seed, shape)]
        made = getattr(at.optim, name)(**OPTIMIZERS[name])
        made.attach(parameters)
        for p, g in zip(parameters, numbers("g", seed, shape), strict=True):
            p.grad = g
        return made, parameters

    timed, _ = optimizer(SHAPE)

    def run(n: int) -> None:
        for _ in range(n):
            timed.step()

    def result() -> Results:
        fresh, parameters = optimizer((5, 10))
        for _ in range(CHECKED_STEPS):
            fresh.step()
        return {"weights": np.concatenate([p.numpy().ravel() for p in parameters])}

    return Side(run, result, name)


def peer_side(name: str, seed: int, *, double: bool = False, timed: bool = True) -> Side:
    import torch

    def optimizer(shape: tuple[int, int], **way: Any) -> tuple[Any, list[Any]]:
        kind = torch.float64 if double else torch.float32
        parameters = [torch.tensor(x, dtype=kind, requires_grad=True) for x in numbers("w", seed, shape)]
        made = getattr(torch.optim, name)(parameters, **OPTIMIZERS[name], **way)
        for p, g in zip(parameters, numbers("g", seed, shape), strict=True):
            p.grad = torch.tensor(g, dtype=kind)
        return made, parameters

    def steps(made: Any) -> Any:
        def run(n: int) -> None:
            for _ in range(n):
                made.step()

        return run

    def result() -> Results:
        fresh, parameters = optimizer((5, 10), foreach=True)
        steps(fresh)(CHECKED_STEPS)
        return {"weights": np.concatenate([p.detach().numpy().ravel() for p in parameters])}

    if not timed:
        return Side(lambda n: None, result)
    ways = {}
    for way in WAYS:
        try:
            ways[way] = steps(optimizer(SHAPE, **{way: True})[0])
        except TypeError:  # not every optimizer is there fused
            continue
    best = fastest(ways)
    return Side(ways[best], result, f"{name}({best}=True)")


def case(name: str, seed: int) -> Case:
    return Case(
        lambda: ours_side(name, seed),
        lambda: peer_side(name, seed),
        reference=lambda: peer_side(name, seed, double=True, timed=False).result(),
    )


def workloads() -> list[Workload]:
    return [
        Workload(f"{name} step, 20 million parameters", None, partial(case, name), memory=False)
        for name in OPTIMIZERS
    ]

"""Every workload, one file a family."""

from __future__ import annotations

import functools
from dataclasses import replace

from bench.harness import Workload


@functools.cache
def all_workloads() -> tuple[Workload, ...]:
    """Those of the tables, in their order."""
    from bench.workloads import (
        attention,
        generation,
        masks,
        operations,
        optimizers,
        quantization,
        recurrent,
        sentences,
        sizes,
        startup,
        training,
        word2vec,
    )

    modules = (
        attention,
        training,
        recurrent,
        word2vec,
        generation,
        sentences,
        operations,
        optimizers,
        quantization,
        sizes,
        masks,
        startup,
    )
    found = [
        replace(workload, family=module.__name__.rsplit(".", 1)[-1])
        for module in modules
        for workload in module.workloads()
    ]
    names = [workload.name for workload in found]
    assert len(set(names)) == len(names), "two workloads of one name"
    return tuple(found)


def by_name(name: str) -> Workload:
    for workload in all_workloads():
        if workload.name == name:
            return workload
    raise KeyError(name)


def select(names: list[str]) -> list[Workload]:
    """The workload of exactly that name, or all whose name or family holds one of the words; all for none."""
    exact = [w for w in all_workloads() if w.name in names]
    if not names or exact:
        return exact or list(all_workloads())
    return [w for w in all_workloads() if any(n in w.name or n == w.family for n in names)]


def use_threads(threads: int, *, ours: bool = True, peer: bool = True) -> None:
    """Imports the libraries asked for, and lets each use so many threads."""
    if ours:
        import attendo as at

        at.set_num_threads(threads)
    if peer:
        import torch

        torch.set_num_threads(threads)

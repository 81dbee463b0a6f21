"""Processes for tests of reducers that need no MPI: threads, each with a model of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attendo import _core


class Ranks:
    """What the transports of several ranks share. Sums are made when all wait, and must then be of one shape.

    on_send() is called at each message, before anything else is done.
    """

    def __init__(self, size: int, on_send: Callable[[], object] = lambda: None) -> None:
        self.size, self.on_send = size, on_send
        self.barrier = threading.Barrier(size, timeout=60)
        self.parts: list[list[NDArray[Any]]] = [[] for _ in range(size)]
        self.gathered: list[Any] = [None] * size
        # In the order in which they were sent, what a rank gave: address in its memory and a copy.
        self.sent: list[list[tuple[int, NDArray[Any]]]] = [[] for _ in range(size)]

    def run(self, body: Callable[[_core.Reducer, int], Any], bucket_bytes: int = 1 << 20) -> list[Any]:
        """What body(reducer, rank) gives in each rank."""
        results: list[Any] = [None] * self.size
        errors: list[BaseException] = []

        def one(rank: int) -> None:
            try:
                results[rank] = body(_core.Reducer(Transport(self, rank), bucket_bytes), rank)
            except BaseException as error:
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        assert not errors
        return results


class Transport:
    def __init__(self, ranks: Ranks, rank: int) -> None:
        self.ranks, self.rank, self.size = ranks, rank, ranks.size

    def start_sum(self, part: NDArray[Any]) -> None:
        self.ranks.on_send()
        self.ranks.parts[self.rank].append(part)
        self.ranks.sent[self.rank].append((part.ctypes.data, part.copy()))

    def progress(self) -> None:
        assert self.ranks.parts[self.rank]

    def wait(self) -> None:
        self.ranks.barrier.wait()
        if self.rank == 0:
            for of_ranks in zip(*self.ranks.parts, strict=True):
                assert len({(part.shape, part.dtype) for part in of_ranks}) == 1
                total = np.sum(of_ranks, axis=0)
                for part in of_ranks:
                    part[...] = total
        self.ranks.barrier.wait()
        self.ranks.parts[self.rank].clear()

    def gather(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        self.ranks.gathered[self.rank] = x.copy()
        self.ranks.barrier.wait()
        all_of_them = list(self.ranks.gathered)
        self.ranks.barrier.wait()
        return all_of_them

    def broadcast(self, x: NDArray[Any]) -> None:
        x[...] = self.gather(x)[0]

"""Training a classifier of sentences: embedding, LSTM or GRU, attention that pools over time, linear."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.harness import Case, Missing, Workload
from bench.workloads.training import BATCHES, case, ids

VOCABULARY, FEATURES, HIDDEN, CLASSES, LENGTH, BATCH = 10_000, 64, 64, 2, 100, 32


def our_classifier(cell: str) -> Any:
    import attendo as at

    if not hasattr(at.nn, cell):
        raise Missing(f"at.nn.{cell}")

    class Classifier(at.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = at.nn.Embedding(VOCABULARY, FEATURES)
            self.rnn = getattr(at.nn, cell)(FEATURES, HIDDEN)
            self.score = at.nn.Linear(HIDDEN, 1)
            self.out = at.nn.Linear(HIDDEN, CLASSES)

        def forward(self, x: Any) -> Any:
            h = self.rnn(self.embedding(x))  # (B, S, H)
            h = h[0] if isinstance(h, tuple) else h
            weights = at.functional.softmax(self.score(at.functional.tanh(h)), axis=1)  # (B, S, 1)
            return self.out((weights * h).sum(axis=1))

    return Classifier()


def classifier(seed: int, cell: str) -> Case:
    def peer(_: float) -> Any:
        from bench import peers

        return peers.RecurrentClassifier(cell, VOCABULARY, FEATURES, HIDDEN, CLASSES)

    gates = {"LSTM": 4, "GRU": 3}[cell]
    forward = 2.0 * BATCH * LENGTH * gates * HIDDEN * (FEATURES + HIDDEN)
    sentences = ids(seed, VOCABULARY, BATCH, LENGTH)
    classes = np.random.default_rng(seed + 1).integers(0, CLASSES, BATCHES * BATCH)
    return case(lambda _: our_classifier(cell), peer, [sentences], classes, BATCH, seed, 3 * forward)


def workloads() -> list[Workload]:
    return [
        Workload(
            f"embedding + {cell}(64) + attention classifier, s 100, b 32",
            target,
            lambda seed, cell=cell: classifier(seed, cell),  # type: ignore[misc]
        )
        for cell, target in (("LSTM", 2.0), ("GRU", 3.0))
    ]

"""Training word vectors: skip-gram with negative sampling, the words drawn before, sparse rows only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Missing, Results, Side, Workload, draw, fastest
from bench.workloads.training import BATCHES, CHECKED_STEPS, RATE, ours_side

VOCABULARY, FEATURES, BATCH, NEGATIVES = 30_000, 64, 1024, 5


def our_model() -> Any:
    import attendo as at

    if not hasattr(at.models, "Word2Vec"):
        raise Missing("at.models.Word2Vec")
    return at.models.Word2Vec(VOCABULARY, FEATURES, num_negatives=NEGATIVES)


def peer_side(
    words: NDArray[Any],
    targets: NDArray[Any],
    negatives: NDArray[Any],
    seed: int,
    *,
    double: bool = False,
    choose: bool = True,
) -> Side:
    """Embeddings with sparse gradients and SparseAdam."""
    import torch
    from torch.nn import functional

    kind = torch.float64 if double else torch.float32
    batches = [
        tuple(torch.from_numpy(x[i * BATCH : (i + 1) * BATCH]) for x in (words, targets, negatives))
        for i in range(BATCHES)
    ]

    def two_lookups(h: Any, u: Any, target: Any, negative: Any) -> Any:
        near = (h * functional.embedding(target, u, sparse=True)).sum(1)
        far = torch.bmm(functional.embedding(negative, u, sparse=True), h[:, :, None])[:, :, 0]
        return -(functional.logsigmoid(near) + functional.logsigmoid(-far).sum(1)).mean()

    def one_lookup(h: Any, u: Any, target: Any, negative: Any) -> Any:
        both = functional.embedding(torch.cat([target[:, None], negative], 1), u, sparse=True)
        scores = torch.bmm(both, h[:, :, None])[:, :, 0]
        return -functional.logsigmoid(torch.cat([scores[:, :1], -scores[:, 1:]], 1)).sum(1).mean()

    def trained(loss_of: Callable[..., Any]) -> Callable[[int], list[Any]]:
        w, u = (
            torch.from_numpy(draw(name, (VOCABULARY, FEATURES), seed)).to(kind).requires_grad_(True)
            for name in ("input_vectors", "output_vectors")
        )
        optimizer = torch.optim.SparseAdam([w, u], lr=RATE)

        def run(n: int) -> list[Any]:
            losses = []
            for i in range(n):
                word, target, negative = batches[i % BATCHES]
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(functional.embedding(word, w, sparse=True), u, target, negative)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return losses

        return run

    ways = {"SparseAdam, one lookup": one_lookup, "SparseAdam, two lookups": two_lookups}
    runs = {name: trained(way) for name, way in ways.items()}
    name = fastest(runs) if choose else next(iter(runs))

    def result() -> Results:
        return {"loss": np.array([float(x) for x in trained(ways[name])(CHECKED_STEPS)])}

    return Side(runs[name], result, name)


def skip_gram(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    pairs = BATCHES * BATCH
    words, targets = rng.integers(0, VOCABULARY, (2, pairs))
    negatives = rng.integers(0, VOCABULARY, (pairs, NEGATIVES))

    def ours() -> Side:
        inputs = [words, targets, negatives]
        return ours_side(our_model, inputs, np.zeros(pairs, np.float32), BATCH, seed, loss="Mean")

    return Case(
        ours,
        lambda: peer_side(words, targets, negatives, seed),
        # A product of two rows for each word, and two for its gradients.
        flops=3 * 2.0 * BATCH * (1 + NEGATIVES) * FEATURES,
        reference=lambda: peer_side(words, targets, negatives, seed, double=True, choose=False).result(),
    )


def workloads() -> list[Workload]:
    name = "Word2Vec skip-gram, 30,000 words, 64 features, batch 1024, 5 negatives"
    return [Workload(name, 3.0, skip_gram)]

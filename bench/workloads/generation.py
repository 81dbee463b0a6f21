"""Greedy generation in the shape of GPT-2: beside transformers, and in eight bits beside floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Results, Side, Workload, draw, repeated

VOCABULARY, D_MODEL, HEADS, LAYERS, MAX_LEN = SHAPE = (50257, 768, 12, 12, 1024)
PROMPT, NEW = 32, 64


def prompt(seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (1, PROMPT))


def our_model(seed: int) -> Any:
    import attendo as at

    model = at.models.DecoderLM(
        VOCABULARY,
        D_MODEL,
        HEADS,
        LAYERS,
        max_len=MAX_LEN,
        norm_first=True,
        activation="gelu_tanh",
        positions="learned",
        tie_weights=True,
        scale_embeddings=False,
    )
    for name, parameter in model.named_parameters():
        parameter.assign(draw(name, parameter.shape, seed))
    return model.eval()


def our_side(model: Any, ids: NDArray[np.int64]) -> Side:
    import attendo as at

    def result() -> Results:
        with at.no_grad():
            return {"logits": model(ids).numpy()[:, -1]}

    return Side(repeated(lambda: model.generate(ids, max_new_tokens=NEW)), result)


def peer_side(ids: NDArray[np.int64], seed: int) -> Side:
    from bench import peers_transformers as peers

    return peers.generation(ids, NEW, SHAPE, seed)


def floats(seed: int) -> Case:
    ids = prompt(seed)

    def reference() -> Results:
        from bench import peers_transformers as peers

        return peers.in_double(ids, SHAPE, seed)

    return Case(lambda: our_side(our_model(seed), ids), lambda: peer_side(ids, seed), None, reference)


def int8(seed: int) -> Case:
    ids = prompt(seed)
    return Case(
        lambda: our_side(our_model(seed).to_int8(), ids), lambda: our_side(our_model(seed), ids), None, None
    )


def workloads() -> list[Workload]:
    shape = f"GPT-2 shape, prompt of {PROMPT}, {NEW} new tokens"
    return [
        Workload(f"generate, {shape}", 1.3, floats, peer="transformers", quick_check=False),
        Workload(f"generate in int8, {shape}", 1.8, int8, peer="attendo"),
    ]

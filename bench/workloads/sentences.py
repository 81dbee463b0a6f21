"""Batches of sentences through twelve layers in the shape of BERT-base, beside transformers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Results, Side, Workload, draw, repeated

D_MODEL, HEADS, LAYERS, DFF = SHAPE = (768, 12, 12, 3072)


def lengths_of(seed: int, batch: int, least: int, most: int) -> NDArray[np.int64]:
    lengths = np.random.default_rng(seed).integers(least, most + 1, batch)
    lengths[0] = most
    return lengths


def our_side(x: NDArray[Any], lengths: NDArray[np.int64], seed: int) -> Side:
    import attendo as at

    encoder = at.nn.Encoder(LAYERS, D_MODEL, HEADS, DFF, activation="gelu").eval()
    for name, parameter in encoder.named_parameters():
        parameter.assign(draw(name, parameter.shape, seed))
    hidden = at.tensor(x)
    real = np.arange(x.shape[1]) < lengths[:, None]

    def encode() -> Any:
        with at.no_grad():
            return encoder.without_padding(hidden, lengths)

    return Side(repeated(encode), lambda: {"out": encode().numpy()[real]})


def case(seed: int, batch: int, least: int, most: int) -> Case:
    lengths = lengths_of(seed, batch, least, most)
    x = np.random.default_rng(seed).standard_normal((batch, most, D_MODEL), dtype=np.float32)

    def peer(double: bool = False) -> Side:
        from bench import peers_transformers as peers

        return peers.sentences(x, lengths, SHAPE, seed, double)

    def reference() -> Results:
        return peer(double=True).result()

    weights = 4 * D_MODEL * D_MODEL + 2 * D_MODEL * DFF
    flops = 2.0 * LAYERS * (int(lengths.sum()) * weights + 2 * D_MODEL * int((lengths**2).sum()))
    return Case(lambda: our_side(x, lengths, seed), peer, flops, reference)


def workloads() -> list[Workload]:
    cases = [
        ("16 sentences of 64 tokens", (16, 64, 64)),
        ("32 sentences of 16 to 128 tokens", (32, 16, 128)),
        ("8 sentences of 16 to 64 tokens", (8, 16, 64)),
    ]
    return [
        Workload(
            f"BERT-base shape, {name}",
            1.2,
            functools.partial(case, batch=batch, least=least, most=most),
            peer="transformers",
            quick_check=False,
        )
        for name, (batch, least, most) in cases
    ]

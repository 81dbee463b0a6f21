"""Products of whole numbers in BERT's shapes: beside our own floats, and beside PyTorch's.

Dynamic on both sides: eight bits, their range measured at each call; ours for each row, PyTorch's for all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Results, Side, Workload, draw, repeated

D_MODEL, HIDDEN, HEADS = 768, 3072, 12
SHAPES = [(D_MODEL, D_MODEL), (D_MODEL, HIDDEN)]  #: in, out
ROWS = [1, 16, 512, 1024]
BATCH, LENGTH = 8, 128

Array = NDArray[Any]


def inputs(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def our_side(module: Any, x: Array) -> Side:
    import attendo as at

    tensor = at.tensor(x)

    def once() -> Any:
        with at.no_grad():
            return module(tensor)

    return Side(repeated(once), lambda: {"y": once().numpy()})


def with_weights(module: Any, seed: int) -> Any:
    for name, parameter in module.named_parameters():
        parameter.assign(draw(name, parameter.shape, seed))
    return module.eval()


def our_linear(seed: int, size: tuple[int, int], rows: int, quantized: bool) -> Side:
    import attendo as at

    module = with_weights(at.nn.Linear(*size), seed)
    return our_side(at.compress.quantize(module) if quantized else module, inputs(seed, rows, size[0]))


def torch_linear(seed: int, size: tuple[int, int], rows: int) -> Side:
    import torch

    warnings.simplefilter("ignore")  # it will move its quantized dtypes elsewhere
    weight = torch.from_numpy(draw("weight", size[::-1], seed))
    scales = weight.abs().amax(1) / 127
    zeros = torch.zeros(size[1], dtype=torch.long)
    numbers = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    torch.backends.quantized.engine = "x86"
    packed = torch.ops.quantized.linear_prepack(numbers, torch.from_numpy(draw("bias", size[1:], seed)))
    x = torch.from_numpy(inputs(seed, rows, size[0]))

    def once() -> Any:
        with torch.inference_mode():
            return torch.ops.quantized.linear_dynamic(x, packed, False)

    return Side(repeated(once), lambda: {"y": once().numpy()}, "x86")


def linear(size: tuple[int, int], rows: int, peer: str) -> Callable[[int], Case]:
    def build(seed: int) -> Case:
        def reference() -> Results:
            x, weight = inputs(seed, rows, size[0]).astype(np.float64), draw("weight", size[::-1], seed)
            return {"y": x @ weight.T.astype(np.float64) + draw("bias", size[1:], seed)}

        return Case(
            lambda: our_linear(seed, size, rows, quantized=True),
            lambda: (
                torch_linear(seed, size, rows)
                if peer == "PyTorch"
                else our_linear(seed, size, rows, quantized=False)
            ),
            2.0 * rows * size[0] * size[1],
            reference,
            tolerance=0.02,
        )

    return build


def our_layer(seed: int, quantized: bool) -> Side:
    import attendo as at

    module = with_weights(at.nn.EncoderLayer(D_MODEL, HEADS, HIDDEN, activation="gelu"), seed)
    return our_side(
        at.compress.quantize(module) if quantized else module, inputs(seed, BATCH, LENGTH, D_MODEL)
    )


def layer(seed: int) -> Case:
    return Case(lambda: our_layer(seed, quantized=True), lambda: our_layer(seed, quantized=False))


def target(rows: int, peer: str) -> float | None:
    if peer == "PyTorch":
        return None
    return 2.0 if rows >= 512 else 1.2


def workloads() -> list[Workload]:
    beside = {"attendo": "floats", "PyTorch": "PyTorch int8"}
    found = [
        Workload(
            f"int8 linear, {rows} × {size[0]} → {size[1]}, beside {name}",
            target(rows, peer),
            linear(size, rows, peer),
            peer=peer,
            memory=False,
        )
        for size in SHAPES
        for rows in ROWS
        for peer, name in beside.items()
    ]
    encoder = f"int8 encoder layer, {BATCH} × {LENGTH} × {D_MODEL}, beside floats"
    return [*found, Workload(encoder, 1.5, layer, peer="attendo", memory=False)]

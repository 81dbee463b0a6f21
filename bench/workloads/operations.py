"""Single operations: GEMM, linear + GELU, layer norm, cross-entropy, the gradient of an embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Results, Side, Workload, repeated

Array = NDArray[Any]
# A function of tensors, differentiable, of one library.
Function = Callable[..., Any]


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def ours_side(inputs: Sequence[Array], d_out: Array | None, function: Callable[[], Function]) -> Side:
    """function(*inputs), with its gradients where d_out is given; () stands for a loss."""
    import attendo as at

    call = function()
    tensors: list[Any] = [at.tensor(x) for x in inputs]
    if d_out is None:

        def run(n: int) -> None:
            with at.no_grad():
                for _ in range(n):
                    call(*tensors)

        return Side(run, lambda: {"out": call(*tensors).numpy()})
    tracked = [x for x in tensors if x.dtype == np.float32]
    for x in tracked:
        x.requires_grad = True
    gradient = at.tensor(d_out)

    def step() -> Any:
        for x in tracked:
            x.zero_grad()
        out = call(*tensors)
        out.backward(gradient)
        return out

    def result() -> Results:
        out = step()
        return {"out": out.numpy(), **{f"d_{i}": x.grad.numpy() for i, x in enumerate(tracked)}}

    return Side(repeated(step), result)


def peer_side(
    inputs: Sequence[Array], d_out: Array | None, function: Callable[[], Function], *, double: bool = False
) -> Side:
    """The same with PyTorch."""
    import torch

    call = function()
    tensors = [torch.from_numpy(x) for x in inputs]
    if double:
        tensors = [x.double() if x.is_floating_point() else x for x in tensors]
    if d_out is None:

        def run(n: int) -> None:
            with torch.inference_mode():
                for _ in range(n):
                    call(*tensors)

        return Side(run, lambda: {"out": call(*tensors).numpy()})
    tracked = [x.requires_grad_(True) for x in tensors if x.is_floating_point()]
    gradient = torch.from_numpy(d_out).to(tracked[0].dtype)

    def step() -> Any:
        for x in tracked:
            x.grad = None
        out = call(*tensors)
        out.backward(gradient)
        return out

    def result() -> Results:
        out = step()
        return {"out": out.detach().numpy(), **{f"d_{i}": x.grad.numpy() for i, x in enumerate(tracked)}}

    return Side(repeated(step), result)


def case(
    inputs: Sequence[Array],
    d_out: Array | None,
    ours: Callable[[], Function],
    peer: Callable[[], Function],
    flops: float | None = None,
) -> Case:
    """`ours` and `peer` give the function of the library, which they import."""
    return Case(
        ours=lambda: ours_side(inputs, d_out, ours),
        peer=lambda: peer_side(inputs, d_out, peer),
        reference=lambda: peer_side(inputs, d_out, peer, double=True).result(),
        flops=flops,
    )


def our(name: str) -> Callable[[], Function]:
    def function() -> Function:
        import attendo as at

        found: Function = getattr(at.functional, name)
        return found

    return function


def of_torch(name: str) -> Callable[[], Function]:
    def function() -> Function:
        import torch

        found: Function = getattr(torch.nn.functional, name, None) or getattr(torch, name)
        return found

    return function


# ------------------------------------------------------------------------------------------------------- GEMM


def gemm(seed: int, m: int, k: int, n: int, numpy: bool = False) -> Case:
    """C = A·B, A (m, k), B (k, n)."""
    a, b = normal(seed, m, k), normal(seed + 1, k, n)
    made = case([a, b], None, our("matmul"), of_torch("matmul"), 2.0 * m * k * n)
    if not numpy:
        return made
    numpy_side = Side(repeated(lambda: a @ b), lambda: {"out": a @ b})
    return Case(made.ours, lambda: numpy_side, made.flops, lambda: {"out": a.astype(np.float64) @ b})


# ------------------------------------------------------------------------------------------------- the others


def linear_gelu(seed: int) -> Case:
    """gelu(x·Wᵀ + b) with the exact GELU, x (2048, 256), W (1024, 256)."""

    def ours() -> Function:
        import attendo as at

        return lambda x, w, b: at.functional.linear(x, w, b, activation="gelu")

    def peer() -> Function:
        from torch.nn import functional

        return lambda x, w, b: functional.gelu(functional.linear(x, w, b))

    inputs = [normal(seed, 2048, 256), normal(seed + 1, 1024, 256) / 16, normal(seed + 2, 1024)]
    return case(inputs, None, ours, peer, 2.0 * 2048 * 256 * 1024)


def layer_norm(seed: int) -> Case:
    def peer() -> Function:
        from torch.nn import functional

        return lambda x, w, b: functional.layer_norm(x, (256,), w, b)

    inputs = [normal(seed, 4096, 256), 1 + normal(seed + 1, 256) / 10, normal(seed + 2, 256)]
    return case(inputs, normal(seed + 3, 4096, 256), our("layer_norm"), peer)


def cross_entropy(seed: int) -> Case:
    target = np.random.default_rng(seed + 1).integers(0, 30_000, 2048)
    inputs = [normal(seed, 2048, 30_000), target]
    return case(inputs, np.array(1.0, np.float32), our("cross_entropy"), of_torch("cross_entropy"))


def embedding(seed: int) -> Case:
    """The rows that 8,192 ids name, and the gradient of the whole table."""
    ids = np.random.default_rng(seed + 1).integers(0, 30_000, 8192)
    inputs = [ids, normal(seed, 30_000, 256)]
    return case(inputs, normal(seed + 2, 8192, 256), our("embedding"), of_torch("embedding"))


GEMMS = [
    ("64³", (64, 64, 64), 1.5),
    ("256³", (256, 256, 256), 1.1),
    ("2048×256×64", (2048, 256, 64), 1.1),
    ("2048³", (2048, 2048, 2048), 1.0),
]


def workloads() -> list[Workload]:
    found = [
        Workload(f"GEMM {name}", target, lambda seed, size=size: gemm(seed, *size))  # type: ignore[misc]
        for name, size, target in GEMMS
    ]
    found += [
        Workload(
            f"GEMM {name} (NumPy)",
            None,
            lambda seed, size=size: gemm(seed, *size, numpy=True),  # type: ignore[misc]
            peer="NumPy's OpenBLAS",
            pause=0.06,
            memory=False,
        )
        for name, size, _ in GEMMS
    ]
    return [
        *found,
        Workload("linear + bias + GELU, 2048 × 256 → 1024", 1.2, linear_gelu),
        Workload("layer norm 4096 × 256, forward + backward", 1.5, layer_norm),
        Workload("cross-entropy 2048 × 30,000, forward + backward", 1.5, cross_entropy, quick_check=False),
        Workload("embedding gradient, 30,000 × 256, 8,192 rows", 2.0, embedding),
    ]

"""Attention as a function, forward and forward + backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case, Results, Side, Workload, fastest, repeated

Arrays = dict[str, NDArray[np.float32]]

# The reference computes one head of each group of keys only where all would take it minutes.
REFERENCE_FLOPS = 2e11


@dataclass(frozen=True)
class Shape:
    batch: int
    heads: int
    length: int
    features: int
    kv_heads: int | None = None
    causal: bool = False
    dropout: float = 0.0
    padded: bool = False  # half of the keys
    weights: bool = False  # returned
    mask: str = ""  # a boolean array: "half" of all entries at random, or what "causal" allows
    softcap: float = 0.0
    alibi: bool = False  # as a score_mod; the peer has a float mask made before

    @property
    def groups(self) -> int:
        return self.kv_heads or self.heads

    def lengths(self) -> NDArray[np.int64]:
        """Keys of each sequence: evenly spread, half of them on average."""
        step = self.length / self.batch
        return np.array([round((i + 0.5) * step) for i in range(self.batch)])

    def dense(self) -> NDArray[np.bool_]:
        if self.mask == "causal":
            return np.tril(np.ones((self.length, self.length), dtype=bool))
        return np.random.default_rng(1).random((self.length, self.length)) < 0.5

    def flops(self, backward: bool) -> float:
        """Two products forward and five backward, over the entries a mask leaves; random ones count all."""
        entries = self.batch * self.length**2
        if self.causal or self.mask == "causal":
            entries = self.batch * self.length * (self.length + 1) // 2
        if self.padded:
            entries = self.length * int(self.lengths().sum())
        return 2.0 * (7 if backward else 2) * self.heads * entries * self.features

    def arrays(self, seed: int) -> Arrays:
        rng = np.random.default_rng(seed)

        def draw(heads: int) -> NDArray[np.float32]:
            size = (self.batch, heads, self.length, self.features)
            return rng.standard_normal(size, dtype=np.float32)

        return {
            "q": draw(self.heads),
            "k": draw(self.groups),
            "v": draw(self.groups),
            "d_out": draw(self.heads),
        }

    def bytes(self) -> int:
        """Inputs, output and the gradients of all of them, float32."""
        return 4 * 4 * self.batch * self.length * self.features * (self.heads + self.groups)


def ours(shape: Shape, arrays: Arrays, backward: bool) -> Side:
    import attendo as at

    # Tensors hold copies: each array goes when its copy is made, so that no memory is counted twice.
    tensors: dict[str, Any] = {name: at.tensor(arrays.pop(name)) for name in list(arrays)}
    q, k, v, d_out = (tensors[name] for name in ("q", "k", "v", "d_out"))
    options: dict[str, Any] = {}
    if shape.causal:
        options["mask"] = at.masks.causal()
    if shape.padded:
        options["mask"] = at.masks.lengths(shape.lengths())
    if shape.mask:
        options["mask"] = shape.dense()
    if shape.softcap:
        options["softcap"] = shape.softcap
    if shape.alibi:
        slopes = at.functional.alibi_slopes(shape.heads)
        options["score_mod"] = lambda s, b, h, i, j: s - slopes[h] * abs(i - j)
    generator = at.Generator(0)

    def forward(dropout: float) -> Any:
        if shape.weights:
            return at.attention(q, k, v, return_weights=True, **options)
        if dropout:
            return at.attention(q, k, v, dropout=dropout, generator=generator, **options)
        return at.attention(q, k, v, **options)

    def forward_and_backward(dropout: float) -> Any:
        for x in (q, k, v):
            x.zero_grad()
        out = forward(dropout)
        out.backward(d_out)
        return out

    def run(n: int) -> None:
        if backward:
            for _ in range(n):
                forward_and_backward(shape.dropout)
        else:
            with at.no_grad():
                for _ in range(n):
                    forward(shape.dropout)

    def result(dropout: float = 0.0) -> Results:
        if shape.weights:
            out, weights = forward(0.0)
            return {"out": out.numpy(), "weights": weights.numpy()}
        if not backward:
            with at.no_grad():
                return {"out": forward(dropout).numpy()}
        out = forward_and_backward(dropout)
        return {"out": out.numpy(), "d_q": q.grad.numpy(), "d_k": k.grad.numpy(), "d_v": v.grad.numpy()}

    def bits() -> Results:
        nonlocal generator
        generator = at.Generator(0)
        return result(shape.dropout)

    if backward:
        for x in (q, k, v):
            x.requires_grad = True
    return Side(run, result, bits=bits)


def peer_ways(shape: Shape, q: Any, k: Any, v: Any) -> dict[str, Callable[[float], Any]]:
    """The ways PyTorch offers to compute it, each a function of the dropout."""
    import torch
    from torch.nn import functional

    sdpa = functional.scaled_dot_product_attention
    scale = shape.features**-0.5

    def by_hand(dropout: float) -> Any:
        weights = functional.dropout(torch.softmax(q * scale @ k.mT, dim=-1), dropout)
        return weights @ v

    if shape.weights:

        def hand_written(dropout: float) -> Any:
            weights = torch.softmax(q * scale @ k.mT, dim=-1)
            return weights @ v, weights

        def math_path(dropout: float) -> Any:
            return torch._scaled_dot_product_attention_math(q, k, v)

        def as_need_weights(dropout: float) -> Any:  # what need_weights=True runs between its projections
            flat = [x.flatten(0, 1) for x in (q, k, v)]
            weights = torch.softmax(torch.bmm(flat[0] * scale, flat[1].mT), dim=-1)
            return torch.bmm(weights, flat[2]).view_as(q), weights.view(*q.shape[:3], k.shape[2])

        return {
            "as need_weights=True": as_need_weights,
            "softmax by hand": hand_written,
            "the math path": math_path,
        }
    if shape.dropout:
        return {"SDPA": lambda dropout: sdpa(q, k, v, dropout_p=dropout), "by hand": by_hand}
    if shape.padded:
        keep = torch.arange(shape.length) < torch.from_numpy(shape.lengths())[:, None, None, None]
        added = torch.zeros(keep.shape, dtype=q.dtype).masked_fill_(~keep, float("-inf"))
        return {
            "SDPA, boolean mask": lambda dropout: sdpa(q, k, v, attn_mask=keep),
            "SDPA, float mask made before": lambda dropout: sdpa(q, k, v, attn_mask=added),
        }
    if shape.softcap:

        def capped(dropout: float) -> Any:
            return torch.softmax(shape.softcap * torch.tanh(q * (scale / shape.softcap) @ k.mT), dim=-1) @ v

        return {"by hand": capped}
    if shape.alibi:
        import attendo as at

        slopes = torch.from_numpy(at.functional.alibi_slopes(shape.heads, dtype="float64")).to(q.dtype)
        position = torch.arange(shape.length)
        bias = -slopes[:, None, None] * (position[:, None] - position).abs()
        return {"SDPA, float mask made before": lambda dropout: sdpa(q, k, v, attn_mask=bias[None])}
    if shape.mask:
        mask = torch.from_numpy(shape.dense())
        return {"SDPA, boolean mask": lambda dropout: sdpa(q, k, v, attn_mask=mask)}
    if shape.groups != shape.heads:
        times = shape.heads // shape.groups

        def expanded(x: Any) -> Any:
            return x[:, :, None].expand(-1, -1, times, -1, -1).reshape(q.shape[0], -1, *x.shape[2:])

        return {
            "SDPA, enable_gqa": lambda dropout: sdpa(q, k, v, is_causal=shape.causal, enable_gqa=True),
            "SDPA, heads repeated": lambda dropout: sdpa(
                q, k.repeat_interleave(times, 1), v.repeat_interleave(times, 1), is_causal=shape.causal
            ),
            "SDPA, heads expanded": lambda dropout: sdpa(q, expanded(k), expanded(v), is_causal=shape.causal),
        }
    return {"SDPA": lambda dropout: sdpa(q, k, v, is_causal=shape.causal)}


def peer(shape: Shape, arrays: Arrays, backward: bool, *, double: bool = False, choose: bool = True) -> Side:
    import torch

    dtype = torch.float64 if double else torch.float32
    q, k, v, d_out = (torch.from_numpy(arrays[name]).to(dtype) for name in ("q", "k", "v", "d_out"))
    if backward:
        for x in (q, k, v):
            x.requires_grad_(True)
    ways = peer_ways(shape, q, k, v)

    def forward_and_backward(way: Callable[[float], Any], dropout: float) -> Any:
        q.grad = k.grad = v.grad = None
        out = way(dropout)
        out.backward(d_out)
        return out

    def runner(way: Callable[[float], Any]) -> Callable[[int], object]:
        if backward:
            return repeated(lambda: forward_and_backward(way, shape.dropout))

        def run(n: int) -> None:
            with torch.inference_mode():
                for _ in range(n):
                    way(shape.dropout)

        return run

    runs = {name: runner(way) for name, way in ways.items()}
    name = fastest(runs) if choose and len(runs) > 1 else next(iter(runs))

    def result() -> Results:
        if shape.weights:
            out, weights = ways[name](0.0)
            return {"out": out.numpy(), "weights": weights.numpy()}
        if not backward:
            return {"out": ways[name](0.0).numpy()}
        out = forward_and_backward(ways[name], 0.0)
        grads = {f"d_{x}": t.grad.numpy() for x, t in (("q", q), ("k", k), ("v", v))}
        return {"out": out.detach().numpy(), **grads}

    return Side(runs[name], result, name)


def reference(shape: Shape, arrays: Arrays, backward: bool) -> Results:
    """PyTorch in float64, of all heads or, where that is too much, of the first group."""
    from dataclasses import replace

    if shape.flops(backward) > REFERENCE_FLOPS:
        times = shape.heads // shape.groups
        shape = replace(shape, heads=times, kv_heads=1)
        arrays = {n: a[:, : times if n in ("q", "d_out") else 1] for n, a in arrays.items()}
    return peer(shape, arrays, backward, double=True, choose=False).result()


def case(shape: Shape, backward: bool, seed: int) -> Case:
    return Case(
        ours=lambda: ours(shape, shape.arrays(seed), backward),
        peer=lambda: peer(shape, shape.arrays(seed), backward),
        reference=lambda: reference(shape, shape.arrays(seed), backward),
        flops=shape.flops(backward),
        needed_bytes=shape.bytes() if backward else None,
    )


# Names, shapes, and the ratios wanted forward and forward + backward.
TABLE: list[tuple[str, Shape, float, float | None]] = [
    ("1,8,1024,64", Shape(1, 8, 1024, 64), 1.3, 1.45),
    ("1,8,1024,64 causal", Shape(1, 8, 1024, 64, causal=True), 1.9, 2.1),
    ("1,8,4096,64", Shape(1, 8, 4096, 64), 1.3, 1.4),
    ("1,8,4096,64 causal", Shape(1, 8, 4096, 64, causal=True), 1.5, 1.6),
    ("8,8,128,64", Shape(8, 8, 128, 64), 1.7, 2.0),
    ("32,4,64,32 causal", Shape(32, 4, 64, 32, causal=True), 2.8, 3.0),
    ("1,8,2048,128 causal", Shape(1, 8, 2048, 128, causal=True), 1.5, 1.6),
    ("1,1,2048,64", Shape(1, 1, 2048, 64), 1.3, 2.0),
    ("8,8,512,64 dropout 0.1", Shape(8, 8, 512, 64, dropout=0.1), 3.0, 3.0),
    ("8,8,512,64 half of the keys padding", Shape(8, 8, 512, 64, padded=True), 2.0, 2.0),
    ("2,32/8,1024,64 causal", Shape(2, 32, 1024, 64, kv_heads=8, causal=True), 1.8, 2.0),
    ("8,8,512,64 weights returned", Shape(8, 8, 512, 64, weights=True), 2.0, None),
]
# Those for which no ratio is wanted.
MODIFIED: list[tuple[str, Shape]] = [
    ("1,8,1024,64 soft-cap", Shape(1, 8, 1024, 64, softcap=30.0)),
    ("1,8,1024,64 ALiBi", Shape(1, 8, 1024, 64, alibi=True)),
]


def workload(name: str, shape: Shape, target: float | None, backward: bool, **options: Any) -> Workload:
    way = "forward + backward" if backward else "forward"
    return Workload(f"attention {name}, {way}", target, lambda seed: case(shape, backward, seed), **options)


def workloads() -> list[Workload]:
    found = []
    for name, shape, forward, backward in TABLE:
        options: dict[str, Any] = {"quick_check": shape.length < 1024}
        found.append(workload(name, shape, forward, False, quick_memory=name == "1,8,1024,64", **options))
        if backward is not None:
            found.append(workload(name, shape, backward, True, **options))
    for name, shape in MODIFIED:
        found += [workload(name, shape, None, backward, quick_check=False) for backward in (False, True)]
    long = Shape(1, 8, 8192, 64)
    found.append(
        workload(
            "1,8,8192,64 (memory)", long, None, True, memory_limit=1.5, quick_memory=True, quick_check=False
        )
    )
    return found

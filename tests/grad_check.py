"""Gradients of gradients: the first ones on the tape against the kernels' own, the second ones against
central differences of the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

import attendo as at
from tolerance import DIFFERENCE, STEP, assert_close, magnitude

Array: TypeAlias = np.ndarray[Any, Any]
Function: TypeAlias = Callable[..., Any]


def listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def leaves(arrays: Sequence[Any]) -> list[at.Tensor]:
    return [at.tensor(x, requires_grad=True) for x in arrays]


def check_grad_grad(f: Function, arrays: Sequence[Array], directions: int = 3, scale: float = 1.0) -> None:
    """f(*tensors) gives a Tensor or several. With g_i = grad(f, x_i, v) and u_i fixed at random, the
    gradients of h = Σ u_i·g_i with respect to all x and v are compared with the slope of h along random
    directions.

    `scale`: the size of what cancels on the way, where it is larger than the results.
    """
    rng = np.random.default_rng(1)
    xs = leaves(arrays)
    ys = listed(f(*xs))
    upstream = [rng.standard_normal(y.shape) for y in ys]
    vs = leaves(upstream)
    on_tape = at.grad(ys, xs, vs, create_graph=True)
    plain = at.grad(ys, xs, vs)
    assert all(g.is_leaf and not g.requires_grad for g in plain)
    assert all(x.grad is None for x in [*xs, *vs])
    for i, (got, expected) in enumerate(zip(on_tape, plain, strict=True)):
        assert_close(got, expected.numpy(), scale=max(scale, magnitude(expected.numpy())), what=f"input {i}")

    us = [rng.standard_normal(x.shape) for x in arrays]
    h = sum(((g * u).sum() for g, u in zip(on_tape, us, strict=True)), at.tensor(0.0))
    assert h.requires_grad
    second = at.grad(h, [*xs, *vs], allow_unused=True)  # linear functions: the gradient depends on v alone
    assert any(d is not None for d in second[len(xs) :])

    def first(*points: Array) -> float:
        x, v = leaves(points[: len(xs)]), points[len(xs) :]
        gradients = at.grad(listed(f(*x)), x, list(v))
        return float(sum(np.sum(g.numpy() * u) for g, u in zip(gradients, us, strict=True)))

    points = [*arrays, *upstream]
    size = max([scale, *(magnitude(d.numpy()) for d in second if d is not None)])
    for _ in range(directions):
        ts = [rng.standard_normal(p.shape) for p in points]
        slope = sum(float(np.sum(d.numpy() * t)) for d, t in zip(second, ts, strict=True) if d is not None)
        up, down = (first(*(p + e * t for p, t in zip(points, ts, strict=True))) for e in (STEP, -STEP))
        allowed = DIFFERENCE * max(size, abs(slope), abs(up), abs(down)) * max(1, len(points))
        assert abs((up - down) / (2 * STEP) - slope) <= allowed

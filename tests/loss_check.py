"""What every loss is held against: its reference, differences of the reference, and its own parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

import attendo as at
from tolerance import DIFFERENCE, STEP, assert_close, magnitude

Array: TypeAlias = np.ndarray[Any, Any]


def leaves(outputs: Sequence[Array], dtype: Any) -> tuple[at.Tensor, ...]:
    return tuple(at.tensor(np.asarray(x, dtype), requires_grad=True) for x in outputs)


def check_loss(
    loss: at.losses.Loss,
    outputs: Sequence[Array],
    target: Any,
    expected: Callable[..., Array],
    weight: Array | None = None,
    dtype: Any = np.float64,
) -> None:
    """Value and gradients of `loss` against `expected(*outputs)` in float64."""
    tensors = leaves(outputs, dtype)
    doubles = [x.numpy().astype(np.float64) for x in tensors]
    value = loss(tensors, target, weight)
    assert value.shape == () and value.dtype == np.dtype(dtype)
    assert_close(value, expected(*doubles), dtype, what="value")
    value.backward()
    if np.dtype(dtype) != np.float64:
        return
    for k, tensor in enumerate(tensors):
        got = tensor.grad.numpy()
        for i in np.random.default_rng(1).permutation(doubles[k].size)[:24]:
            values = []
            h = STEP * max(1.0, abs(float(doubles[k].flat[i])))
            for sign in (+1, -1):
                moved = [x.copy() for x in doubles]
                moved[k].flat[i] += sign * h
                values.append(float(expected(*moved)))
            difference = (values[0] - values[1]) / (2 * h)
            assert abs(got.flat[i] - difference) <= DIFFERENCE * magnitude(np.append(got, values)), (k, i)


def rows(x: Any, part: slice) -> Any:
    return tuple(rows(each, part) for each in x) if isinstance(x, tuple) else x[part]


def check_parts(
    loss: at.losses.Loss, outputs: Sequence[Array], target: Any, weight: Array | None = None
) -> None:
    """Gradients and value of a batch are the sums over its parts, of unequal sizes."""
    whole = leaves(outputs, np.float64)
    value = loss(whole, target, weight)
    value.backward()
    apart = leaves(outputs, np.float64)
    samples = len(outputs[0])
    totals = np.sum(
        [loss.counts(rows(target, s), None if weight is None else weight[s]) for s in cut(samples)], axis=0
    )
    np.testing.assert_allclose(totals, loss.counts(target, weight), rtol=1e-14)
    total = 0.0
    for s in cut(samples):
        part = loss.part(
            tuple(x[s] for x in apart), rows(target, s), list(totals), None if weight is None else weight[s]
        )
        part.backward()
        total += part.item()
    assert_close(np.float64(total), value.numpy())
    for x, y in zip(whole, apart, strict=True):
        assert_close(y.grad, x.grad.numpy())


def cut(samples: int) -> list[slice]:
    first = samples // 3
    return [slice(first), slice(first, first + 1), slice(first + 1, samples)]


def check_torch(
    torch: Any,
    loss: at.losses.Loss,
    outputs: Sequence[Array],
    target: Any,
    theirs: Callable[..., Any],
    dtype: Any,
    weight: Array | None = None,
) -> None:
    """Value and gradients of `loss` against PyTorch's."""
    mine = leaves(outputs, dtype)
    other = [torch.tensor(x.numpy(), requires_grad=True) for x in mine]
    value, expected = loss(mine, target, weight), theirs(*other)
    assert_close(value, expected.detach().numpy(), dtype)
    value.backward()
    expected.backward()
    for x, y in zip(mine, other, strict=True):
        assert_close(x.grad, y.grad.numpy(), dtype)


def check_config(loss: at.losses.Loss) -> None:
    import json

    again = at.losses.from_config(json.loads(json.dumps(loss.config)))
    assert again.config == loss.config
    assert repr(again) == repr(loss)
    assert type(again) is type(loss)

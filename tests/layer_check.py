"""Layers and models against the reference: output, gradients, any number of threads; and against PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

import attendo as at
from inputs import THREADS, upstream
from tolerance import assert_close, assert_same_bits, magnitude

Array: TypeAlias = np.ndarray[Any, Any]
Parameters: TypeAlias = dict[str, Array]


def randomized(module: Any, seed: int = 0) -> Any:
    """The module with random numbers in every parameter: the zeros and ones of a start hide mistakes."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, value in module.state_dict().items():
        fan_in = value.shape[-1] if value.ndim > 1 else 4
        state[name] = (rng.standard_normal(value.shape) / np.sqrt(fan_in)).astype(value.dtype)
    module.load_state_dict(state)
    return module


def in_double(module: Any) -> Parameters:
    return {name: value.astype(np.float64) for name, value in module.state_dict().items()}


def gradients(module: Any) -> Parameters:
    out = {}
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        out[name] = parameter.grad.numpy().copy()
    return out


def check_layer(
    module: Any,
    inputs: Sequence[Array],
    expected: Callable[..., Array],
    backward: Callable[..., tuple[Any, ...]],
    call: Callable[..., Any] | None = None,
    scale: float | None = None,
) -> None:
    """Compare with the reference.

    Parameters
    ----------
    inputs : float arrays have a gradient, ids do not.
    expected : (*inputs, parameters) -> output, in float64.
    backward : (d_output, *inputs, parameters) -> a gradient a float input, then a dict of the parameters'.
    call : (module, *inputs) -> output, where it is not module(*inputs).
    """
    call = call or (lambda m, *x: m(*x))
    dtype = next(iter(module.parameters())).dtype
    before = [x.copy() for x in inputs]
    double = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
    parameters = in_double(module)

    def run() -> tuple[Array, list[Array], Parameters]:
        module.zero_grad()
        tensors = [at.tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in inputs]
        y = call(module, *tensors)
        y.backward(upstream(y))
        d_inputs = [t.grad.numpy() for t in tensors if isinstance(t, at.Tensor)]
        return y.numpy(), d_inputs, gradients(module)

    at.set_num_threads(THREADS[0])
    y, d_inputs, d_parameters = run()
    right = expected(*double, parameters)
    assert_close(y, right, dtype, scale=scale, what="output")
    *right_inputs, right_parameters = backward(upstream(y).astype(np.float64), *double, parameters)
    assert len(right_inputs) == len(d_inputs) and set(right_parameters) == set(d_parameters)
    # What a gradient is made of is as large as the largest gradient.
    size = max(magnitude(g) for g in [*right_inputs, *right_parameters.values()])
    for i, (got, gradient) in enumerate(zip(d_inputs, right_inputs, strict=True)):
        assert_close(got, gradient, dtype, scale=scale or size, what=f"gradient of input {i}")
    for name, gradient in right_parameters.items():
        assert_close(d_parameters[name], gradient, dtype, scale=scale or size, what=f"gradient of {name}")

    for threads in THREADS[1:]:
        at.set_num_threads(threads)
        again = run()
        assert_same_bits(again[0], y)
        for got, first in zip(
            [*again[1], *again[2].values()], [*d_inputs, *d_parameters.values()], strict=True
        ):
            assert_same_bits(got, first)
    for x, x_before in zip(inputs, before, strict=True):
        assert_same_bits(x, x_before, "an input was changed")


def load_torch(theirs: Any, module: Any, rename: Callable[[str], str] = lambda name: name) -> None:
    """Copy a module's parameters into PyTorch's, under the names that it gives them."""
    import torch

    state = {rename(name): torch.tensor(value) for name, value in module.state_dict().items()}
    theirs.load_state_dict(state)


def assert_torch_agrees(
    torch: Any, module: Any, theirs: Any, inputs: Sequence[Array], call: Any, call_theirs: Any, rename: Any
) -> None:
    """The same output and the same gradients of inputs and parameters as PyTorch's module."""
    load_torch(theirs, module, rename)
    module.zero_grad()
    ours = [at.tensor(x, requires_grad=True) for x in inputs]
    other = [torch.tensor(x, requires_grad=True) for x in inputs]
    y, y_theirs = call(module, *ours), call_theirs(theirs, *other)
    assert_close(y, y_theirs.detach().numpy())
    d_y = upstream(y)
    y.backward(d_y)
    y_theirs.backward(torch.tensor(d_y))
    scale = max(float(p.grad.abs().max()) for p in theirs.parameters())
    for a, b in zip(ours, other, strict=True):
        assert_close(a.grad, b.grad.numpy(), scale=scale)
    named = dict(theirs.named_parameters())
    for name, gradient in gradients(module).items():
        assert_close(gradient, named[rename(name)].grad.numpy(), scale=scale, what=name)

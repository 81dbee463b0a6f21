"""A model looked at without leaving a trace: in evaluation mode, and back; a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._arguments import whole_number
from ._grad import no_grad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._core import Module


@contextmanager
def as_evaluated(model: Module | Any) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module is in the mode it was in.

    What is no Module (a function) is left alone.
    """
    modules = [(one, one.training) for one in model.modules()] if hasattr(model, "modules") else []
    if modules:
        model.eval()
    try:
        yield
    finally:
        # From the root down, each with all below it, as far as they differ; a second time for those that
        # have several parents.
        for _ in range(2):
            for one, training in modules:
                if one.training != training:
                    one.train(training)


def parts(samples: int, batch_size: int | None, call: str) -> Iterator[slice]:
    """Slices of batch_size samples; one for all where it is None. `call` begins the error."""
    if batch_size is None:
        yield slice(0, samples)
        return
    whole_number(call, "batch_size", batch_size, 1)
    for first in range(0, samples, batch_size):
        yield slice(first, min(first + batch_size, samples))


def sliced(arrays: tuple[Any, ...], part: slice) -> tuple[Any, ...]:
    """Some of the samples of each array; None stays."""

    def one(array: Any) -> Any:
        if array is None:
            return None
        if isinstance(array, _core.Tensor):
            array = array.detach().numpy()
        values = np.asarray(array)
        return values if part == slice(0, len(values)) else values[part]

    return tuple(map(one, arrays))


def generator(seed: int | np.random.Generator | None, call: str, trial: int = 0) -> np.random.Generator:
    """A Generator for a trial, which draws other numbers than ``default_rng(seed)``: data are often made with
    that one, and noise must not be a copy of them. `call` begins the error."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None:
        whole_number(call, "seed", seed, 0)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_OWN, trial)))


_OWN = 2026  # any number that nobody else is likely to take


def predicted(model: Module, inputs: tuple[Any, ...], batch_size: int, call: str) -> Any:
    """The (first) output for all samples."""
    outputs = []
    with no_grad():
        for part in parts(len(inputs[0]), batch_size, call):
            out = model(*sliced(inputs, part))
            outputs.append((out[0] if isinstance(out, tuple) else out).numpy())
    return np.concatenate(outputs)


def accuracy(prediction: NDArray[Any], target: Any) -> float:
    """The share of targets whose logit is the largest."""
    right = np.asarray(target[0] if isinstance(target, tuple) else target)
    if right.shape != prediction.shape[:-1]:
        raise ValueError(
            f"accuracy: target has shape {right.shape} but predictions of shape {prediction.shape} "
            f"need class indices of shape {prediction.shape[:-1]}; give metric= for anything else"
        )
    return float((prediction.argmax(axis=-1) == right).mean())

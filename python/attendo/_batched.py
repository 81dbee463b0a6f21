"""A model on arrays, batch by batch, in evaluation mode and without a tape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._grad import no_grad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ._core import Module


def batched(model: Module, inputs: Sequence[NDArray[Any]], batch_size: int) -> Iterator[tuple[slice, Any]]:
    """Which samples, and the model's first output for them; the model's mode is put back at the end."""
    training = model.training
    model.eval()
    try:
        for begin in range(0, len(inputs[0]), batch_size):
            part = slice(begin, begin + batch_size)
            with no_grad():
                out = model(*(x[part] for x in inputs))
            yield part, out[0] if isinstance(out, (tuple, list)) else out
    finally:
        model.train(training)

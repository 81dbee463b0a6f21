"""What a Trainer's model gives, and how good that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from .columns import columns, target_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .. import _core
    from .._typing import TensorLike
    from ..data import Ragged

    Samples: TypeAlias = TensorLike | Ragged
    Inputs: TypeAlias = Samples | tuple[Samples, ...]
    Metric: TypeAlias = Callable[[Any, Any], float]


class Evaluates:
    """The half of the Trainer that changes nothing."""

    _core: _core.Trainer
    metrics: dict[str, Metric]

    def evaluate(
        self,
        inputs: Inputs,
        target: Inputs,
        *,
        sample_weight: TensorLike | None = None,
        batch_size: int = 256,
    ) -> dict[str, float]:
        """Loss, accuracy where the loss defines it, and the Trainer's metrics, in evaluation mode.

        Parameters
        ----------
        inputs : array_like, Ragged or a tuple of them, shape (samples, ...)
            What the model's ``forward`` takes; a tuple for several inputs.
        target : array_like, Ragged or a tuple of them, shape (samples, ...)
            What the loss compares with.
        sample_weight : array_like of float, shape (samples,), optional
            How much each sample counts in the loss; accuracy and metrics count all the same.
        batch_size : int
            Samples at a time; changes nothing but memory and speed.

        Returns
        -------
        dict
            ``loss``, for cross-entropy ``accuracy``: means over the predictions that count; and a number for
            each of the Trainer's metrics.

        Raises
        ------
        ValueError, TypeError
            As :meth:`fit`.
        """
        measured, outputs = self._core.evaluate(
            columns(inputs), columns(target), sample_weight, batch_size, bool(self.metrics)
        )
        if self.metrics:
            truth = target_arrays(target)
            several = len(truth) > 1
            for name, metric in self.metrics.items():
                value = metric(outputs, truth) if several else metric(outputs[0], truth[0])
                try:
                    measured[name] = float(value)
                except (TypeError, ValueError):
                    kind = type(value).__name__
                    raise TypeError(
                        f"evaluate: metrics[{name!r}] gave a {kind} but must give a number"
                    ) from None
        return measured

    @overload
    def predict(
        self, inputs: Inputs, *, batch_size: int = 256, all_outputs: Literal[False] = False
    ) -> NDArray[Any]: ...
    @overload
    def predict(
        self, inputs: Inputs, *, batch_size: int = 256, all_outputs: Literal[True]
    ) -> tuple[NDArray[Any], ...]: ...
    def predict(
        self, inputs: Inputs, *, batch_size: int = 256, all_outputs: bool = False
    ) -> NDArray[Any] | tuple[NDArray[Any], ...]:
        """The model's output for each sample, in evaluation mode.

        Parameters
        ----------
        inputs : array_like, Ragged or a tuple of them, shape (samples, ...)
            What the model's ``forward`` takes; a tuple for several inputs.
        batch_size : int
            Samples at a time; changes nothing but memory and speed.
        all_outputs : bool
            Give all outputs of the model, as a tuple; otherwise the first.

        Returns
        -------
        ndarray or tuple of ndarray, shape (samples, ...)

        Raises
        ------
        ValueError, TypeError
            As :meth:`fit`, and when an output has not a row a sample.
        """
        outputs: tuple[NDArray[Any], ...] = self._core.predict(columns(inputs), batch_size, all_outputs)
        return outputs if all_outputs else outputs[0]
